"""From the text of an error, with Java's stack traces and Python's, to the errors that it tells of, each in one line.

Spark wraps errors in errors: a worker's Python error arrives in a Java exception, which py4j or pyspark raises as a
Python error again. The last one told of is the nearest to the cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gmm_spark.storage.documents import describe_error

MOST = 2**20  # characters of a text that are read; plans and traces can be longer, and say no more there
_MOST_TOLD = 4000  # characters of one message
_MOST_LINKS = 20  # a text that tells of more errors repeats itself

_FRAME = re.compile(r"\s+at \S|\s+\.\.\. \d+ (more|common)|\s+Suppressed: |Driver stacktrace:|JVM stacktrace:")
_CLASS = r"[A-Za-z_][\w$]*(?:\.[\w$]+)*"
_CAUSED = re.compile(rf"\s*(?:Caused by: |: )(?P<kind>{_CLASS})(?:: (?P<told>.*)|$)")
_NAMED = re.compile(rf"(?P<kind>(?:{_CLASS}\.)?\w*(?:Error|Exception|Interrupt|Exit|Failure))(?:: ?(?P<told>.*)|$)")
_FIRST = re.compile(rf"(?P<kind>{_CLASS}): ?(?P<told>.*)")
_LOST_TASK = re.compile(r".*Lost task \S+ in stage \S+ \(TID \d+\) \([^)]*\): (?P<rest>.*)")
_TRACEBACK = "Traceback (most recent call last):"
_NOISE = re.compile(r"\s*\(\w+ at \w+\.(?:java|scala):\d+\)|\s*\bSQLSTATE: \w{5}\b|;? line \d+ pos \d+;?$|;$")
_PLAN = re.compile(r"\s*(?:== |'?[A-Z]\w* \[|'?[A-Z]\w* \(|[:+|]?[ :|]*[+:]- |'[A-Z]\w+ )")  # where a plan begins
# What py4j and Spark say around an error.
_WRAPPING = re.compile(
    r"^(?:An error occurred while calling \S+(?: Trace:)?\s*|Job aborted due to stage failure:\s*"
    r"|\[PYTHON_EXCEPTION\] An exception was thrown from the Python worker:?\s*)+"
)


class Link(NamedTuple):
    """One of the errors that a text tells of.

    Attributes
    ----------
    kind : str
        Its class, of Java or Python, with its package; empty if that is not told.
    told : str
        Its message, in one line, without plans, stacks and what says nothing.
    """

    kind: str
    told: str

    @property
    def line(self) -> str:
        """The class and the message."""
        return ": ".join(part for part in self if part)


def read_text(error: BaseException) -> str:
    """Return all that an error tells, with Java's stack trace if there is one."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    try:
        told = getattr(error, "_stackTrace", None) or f"{kind}: {error}"  # of an error that pyspark has translated
    except Exception:  # py4j asks the JVM for the text, which may have ended
        told = f"{kind}: {describe_error(error)}"
    return str(told)[:MOST]


def read_links(text: str) -> list[Link]:
    """Return the errors that a text tells of, the outermost first."""
    links = [link for link in map(_clean, _split(text[:MOST])) if link.line]
    return links if len(links) <= _MOST_LINKS else [*links[: _MOST_LINKS // 2], *links[-_MOST_LINKS // 2 :]]


def _split(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the class and the lines of each error."""
    kind, lines, in_traceback = "", list[str](), False
    for number, line in enumerate(text.splitlines()):
        found = None
        if in_traceback:
            if line[:1].isspace() or not line.strip():
                continue
            found, in_traceback = _NAMED.match(line) or _FIRST.match(line), False
        elif _FRAME.match(line):
            continue
        else:
            found = _CAUSED.match(line) or (_FIRST.match(line) if number == 0 else None)
        told = line
        if found:
            yield kind, lines
            kind, lines, told = found["kind"], [], found["told"] or ""
        while lost := _LOST_TASK.match(told):
            inner = _FIRST.match(lost["rest"])
            yield kind, lines
            kind, lines, told = (inner["kind"], [], inner["told"]) if inner else ("", [], lost["rest"])
        if _TRACEBACK in told:
            in_traceback = True
            told = told.partition(_TRACEBACK)[0]
        lines.append(told)
    yield kind, lines


def _clean(found: tuple[str, list[str]]) -> Link:
    kind, lines = found
    kept = list[str]()
    for line in lines:
        if kept and (not line.strip() or _PLAN.match(line)):
            break  # a plan, a query or a trace without indent follows
        if line.strip():
            kept.append(line)
    told = _WRAPPING.sub("", " ".join(" ".join(kept)[:_MOST_TOLD].split()))
    for _ in range(2):
        told = _NOISE.sub("", told).strip()
    return Link(kind, told)
