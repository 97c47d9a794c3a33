"""Numbers, names and tables as people read them: on a page, in a notebook, in a sentence."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from html import escape

_LETTERS = ("", "k", "M", "G")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def show_number(value: float | None, digits: int = 4) -> str:
    """Write a number to some significant digits, with commas in thousands; a dash if there is none.

    Examples
    --------
    >>> [show_number(x) for x in (1234567.8, 0.000012345, 12.0, -3.14159, float("nan"), None)]
    ['1,234,568', '1.234×10⁻⁵', '12', '−3.142', '–', '–']
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return _write(value, 0)
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 12:
        return _write_power(value, digits)
    return _write(value, digits - 1 - size)


def show_within(value: float, spread: float, digits: int = 3) -> str:
    """Write a number to the digits that a spread makes worth reading; if there is no spread, to some digits.

    Examples
    --------
    >>> show_within(1234.5678, 12.3), show_within(0.0321, 0.004), show_within(1234.5678, 0.0), show_within(3e-7, 0.0)
    ('1,235', '0.0321', '1,235', '3×10⁻⁷')
    """
    size = max(abs(value), spread)
    if not (0 < spread < math.inf and math.isfinite(value) and 1e-4 <= size < 1e9):
        return show_number(value, digits)
    return _write(value, 1 - math.floor(math.log10(spread)))


def show_spread(mean: float, deviation: float) -> str:
    """Write a mean and a standard deviation to the digits that the deviation makes sensible.

    Examples
    --------
    >>> show_spread(1043.456, 12.3456), show_spread(0.5, 0.0), show_spread(1e-9, 2e-10)
    ('1,043.5 ± 12.3', '0.5 ± 0', '1×10⁻⁹ ± 2×10⁻¹⁰')
    """
    if not (math.isfinite(mean) and math.isfinite(deviation)) or deviation <= 0:
        return f"{show_number(mean)} ± {show_number(deviation)}"
    decimals = 2 - math.floor(math.log10(deviation))
    if decimals > 7 or max(abs(mean), deviation) >= 1e12:
        return f"{_write_power(mean, 4)} ± {_write_power(deviation, 4)}"
    decimals = max(decimals, 0)
    return f"{mean:,.{decimals}f} ± {deviation:,.{decimals}f}".replace("-", "−")


def show_share(share: float | None) -> str:
    """Write a share in per cent, to a tenth as tables do; only 0 is written as 0 %, and only 1 as 100 %.

    Examples
    --------
    >>> [show_share(x) for x in (0.2512, 0.25, 0.0004, 1e-7, 0.0, 1.0, 0.99999)]
    ['25.1 %', '25.0 %', '0.04 %', 'under 0.001 %', '0 %', '100 %', '99.99 %']
    """
    return _write_share(share, 0)


def say_share(share: float | None) -> str:
    """Write a share in per cent as sentences and labels do, to two digits; only 0 is 0 %, and only 1 is 100 %.

    Examples
    --------
    >>> [say_share(x) for x in (0.25, 0.0123, 0.00123, 0.4567, 0.9962)]
    ['25 %', '1.2 %', '0.12 %', '46 %', '99.6 %']
    """
    return _write_share(share, 2)


def show_short(value: float) -> str:
    """Write a number for a label that has little room: to two digits, large ones with letters.

    Examples
    --------
    >>> [show_short(x) for x in (-123.4, 0.0567, 1234.0, -45_678.0, 1.26e6, 9.99e8, 3e13)]
    ['−123', '0.057', '1.2k', '−46k', '1.3M', '1G', '3×10¹³']
    """
    rounded = float(f"{value:.2g}")
    if abs(rounded) < 1000:
        return show_number(value, 2)
    if not abs(rounded) < 1e12:
        return _write_power(value, 2) if math.isfinite(value) else show_number(value)
    power = math.floor(math.log10(abs(rounded))) // 3
    return f"{show_number(rounded / 1000**power, 2)}{_LETTERS[power]}"


def show_power(exponent: int) -> str:
    """Write a power of ten.

    Examples
    --------
    >>> show_power(-12)
    '10⁻¹²'
    """
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _write_share(share: float | None, digits: int) -> str:
    """Write a share to some significant digits; with 0 of them to a tenth of a per cent."""
    if share is None or not math.isfinite(share):
        return "–"
    percent = 100.0 if abs(share - 1) < 1e-9 else 100 * share  # what rounding leaves of all is all
    if 0 < percent < 0.001:
        return "under 0.001 %"
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if (99 if digits else 99.95) < percent < 100:
        return f"{_write(min(percent, 99.99), 1 if percent < 99.95 else 2)} %"
    if digits or abs(percent) < 0.1:
        return f"{_write(percent, max(digits, 1) - 1 - math.floor(math.log10(abs(percent))))} %"
    return f"{percent:.1f} %".replace("-", "−")


def _write(value: float, decimals: int) -> str:
    """Write a number with commas, and without zeros at its end; minus signs are such, which readers aloud read."""
    text = _cut_zeros(f"{value:,.{max(decimals, 0)}f}")
    return "0" if text == "-0" else text.replace("-", "−")


def _write_power(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{_cut_zeros(factor)}×{show_power(int(exponent))}".replace("-", "−")


def _cut_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_count(count: float | None) -> str:
    """Write a number of things, rounded, with commas in thousands."""
    return "–" if count is None or not math.isfinite(count) else f"{round(count):,}"


def show_bytes(count: float | None) -> str:
    """Write a number of bytes in the unit that fits.

    Examples
    --------
    >>> show_bytes(512), show_bytes(5 * 2**30)
    ('512 bytes', '5.0 GiB')
    """
    if count is None or not math.isfinite(count):
        return "–"
    unit = 0
    while abs(count) >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def show_seconds(seconds: float | None) -> str:
    """Write a duration.

    Examples
    --------
    >>> show_seconds(0.1234), show_seconds(75.0), show_seconds(7300.0)
    ('0.12 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def show_name(name: str) -> str:
    """Write a foreign name whole; signs that cannot be seen, or turn the text around, become escapes as in Python."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode("ascii") for sign in name
    )


def quote_word(word: str) -> str:
    r"""Quote a word for a shell. If it has signs that cannot be seen, they are written as escapes, as bash reads them.

    Examples
    --------
    >>> print(quote_word("it's"), quote_word("a" + chr(10) + "b"))
    'it'"'"'s' $'a\nb'
    """
    if word.isprintable():
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + show_name(escaped) + "'"


def count_of(count: float, noun: str, plural: str = "") -> str:
    """Write a number of things with their noun.

    Examples
    --------
    >>> count_of(1, "row"), count_of(1200, "row"), count_of(2, "pass", "passes")
    ('1 row', '1,200 rows', '2 passes')
    """
    return f"{show_count(count)} {noun if count == 1 else plural or noun + 's'}"


def draw_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], wraps: bool = False) -> str:
    """Write a table as HTML for a notebook. Every text is escaped; nothing is cut off.

    Examples
    --------
    >>> draw_table("Sizes", ["k"], [["<1>"]]).splitlines()[3]
    '<tr><td style="white-space:nowrap;text-align:left">&lt;1&gt;</td></tr>'
    """
    style = f"white-space:{'normal' if wraps else 'nowrap'};text-align:left"
    titles = "".join(f"<th>{escape(show_name(name))}</th>" for name in head)
    lines = [
        "<tr>" + "".join(f'<td style="{style}">{escape(show_name(cell))}</td>' for cell in row) + "</tr>"
        for row in rows
    ]
    top = f"<table><caption>{escape(show_name(caption))}</caption>"
    table = "\n".join([top, f"<thead><tr>{titles}</tr></thead>", *lines])
    return f'<div style="overflow-x:auto">\n{table}\n</table></div>'
