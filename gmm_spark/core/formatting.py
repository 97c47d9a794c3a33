"""Numbers, names and tables as people read them: on a page, in a notebook, in a sentence."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from html import escape

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def show_number(value: float | None, digits: int = 4) -> str:
    """Write a number to some significant digits, with commas in thousands; a dash if there is none.

    Examples
    --------
    >>> [show_number(x) for x in (1234567.8, 0.000012345, 12.0, -3.14159, float("nan"), None)]
    ['1,234,568', '1.234e-05', '12', '-3.142', '–', '–']
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 12:
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{max(digits - 1 - size, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_spread(mean: float, deviation: float) -> str:
    """Write a mean and a standard deviation to the digits that the deviation makes sensible.

    Examples
    --------
    >>> show_spread(1043.456, 12.3456), show_spread(0.5, 0.0), show_spread(1e-9, 2e-10)
    ('1,043.5 ± 12.3', '0.5 ± 0', '1.000e-09 ± 2.000e-10')
    """
    if not (math.isfinite(mean) and math.isfinite(deviation)) or deviation <= 0:
        return f"{show_number(mean)} ± {show_number(deviation)}"
    decimals = 2 - math.floor(math.log10(deviation))
    if decimals > 7 or max(abs(mean), deviation) >= 1e12:
        return f"{mean:.3e} ± {deviation:.3e}"
    decimals = max(decimals, 0)
    return f"{mean:,.{decimals}f} ± {deviation:,.{decimals}f}"


def show_share(share: float | None) -> str:
    """Write a share in per cent; a small one is not rounded to nothing.

    Examples
    --------
    >>> show_share(0.2512), show_share(0.00001), show_share(0.0), show_share(1.0), show_share(1e-200)
    ('25.1 %', '0.001 %', '0 %', '100 %', '<0.001 %')
    """
    if share is None or not math.isfinite(share):
        return "–"
    if share == 0 or share == 1:
        return f"{share:.0%}".replace("%", " %")
    percent = 100 * share
    if 0 < percent < 0.0005:
        return "<0.001 %"
    return f"{percent:.1f} %" if abs(percent) >= 0.1 else f"{percent:.1g} %"


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
