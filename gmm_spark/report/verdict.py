"""The verdict: pass, look or stop, from the coded checks of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gmm_spark.core.formatting import count_of, show_name, show_number
from gmm_spark.report.facts import Facts

SIGNS = {"pass": "✓", "look": "!", "stop": "✕"}
# What a severity asks of the reader; whatever is not known is worth a look.
_TONES = {"serious": "stop", "warning": "look", "info": "pass"}


@dataclass(frozen=True)
class Finding:
    """A check, as the page shows it."""

    code: str
    severity: str
    tone: str
    about: str
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Note:
    """A line that says what the checks do not, what would help, and the section that says more."""

    text: str
    section: str
    tone: str = ""
    remedy: str = ""

    @property
    def sign(self) -> str:
        """The tone as a sign, for who does not see colours."""
        return SIGNS.get(self.tone, "•")


@dataclass(frozen=True)
class Verdict:
    """What to think of a mixture.

    Attributes
    ----------
    tone : {"pass", "look", "stop", "unknown"}
    word, sign, why : str
    findings : sequence of Finding
        Worst first.
    notes : sequence of Note
    """

    tone: str
    word: str
    sign: str
    why: str
    findings: Sequence[Finding] = ()
    notes: Sequence[Note] = ()


def judge(facts: Facts) -> Verdict:
    """Judge a fit by the checks in its report.

    Examples
    --------
    >>> judge(Facts({"checks": []})).word, judge(Facts()).word
    ('Pass', 'Not judged')
    """
    if not isinstance(facts["checks"].value, list):
        return Verdict(
            "unknown",
            "Not judged",
            "?",
            "There is no run report, or an old one without checks: whether the fit went well is not known. The jobs "
            "fit and select write one.",
        )
    findings = [_read(check) for check in facts["checks"]]
    tones = [one.tone for one in findings]
    stop, look, rest = (tones.count(tone) for tone in ("stop", "look", "pass"))
    if stop:
        more = f" and {count_of(look, 'warning')}" if look else ""
        why = (
            f"{count_of(stop, 'serious finding')}{more}: the mixture, or the data it was fitted to, is probably not "
            "what was meant. Do what stands in bold, then fit again."
        )
        return Verdict("stop", "Stop", SIGNS["stop"], why, findings)
    if look:
        why = f"{count_of(look, 'warning')}: the mixture may be worse than it could be. Look at each before you use it."
        return Verdict("look", "Look", SIGNS["look"], why, findings)
    hints = f"; {count_of(rest, 'hint')} may improve it" if rest else ""
    why = f"No check speaks against the fit{hints}."
    return Verdict("pass", "Pass", SIGNS["pass"], why, findings)


def note_update(facts: Facts) -> list[Note]:
    """Say what an update's own verdict is; nothing if the run is no update."""
    verdict = facts["update"]["verdict"]
    word = verdict.text("word")
    if word is None:
        return []
    reasons = "; ".join(show_name(text) for reason in verdict["reasons"] if (text := reason.text()))
    figures = [show_number(verdict.number(key)) for key in ("log_density", "expected")]
    text = (
        f"An update by the rows of {show_name(facts['update'].text('day') or 'a day')} alone: the figures of the fit "
        f"are theirs. Its verdict: {show_name(word)}{'. ' + reasons if reasons else ''}. Log-density of these rows "
        f"{figures[0]} nats a row, {figures[1]} expected."
    )
    return [Note(text, "fitted", "" if word == "updated" else "stop")]


def _read(check: Facts) -> Finding:
    severity, component, column = check.text("severity") or "warning", check.number("component"), check.text("column")
    about = [f"component {component:.0f}"] if component is not None else []
    about += [show_name(column)] if column is not None else []
    return Finding(
        code=show_name(check.text("code") or "unnamed"),
        severity=show_name(severity),
        tone=_TONES.get(severity, "look"),
        about=", ".join(about),
        meaning=show_name(check.text("meaning") or ""),
        remedy=show_name(check.text("remedy") or ""),
    )
