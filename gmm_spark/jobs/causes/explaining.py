"""Why something failed, in one sentence, and what to do: an error of Spark's as an error of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gmm_spark import errors
from gmm_spark.errors import GmmSparkError, UnexplainedError
from gmm_spark.jobs.causes.cause import Cause
from gmm_spark.jobs.causes.table import TABLE
from gmm_spark.jobs.causes.texts import Link, read_links, read_text

LONGEST = 240  # characters of a cause

_OURS = re.compile(r"gmm_spark\.errors\.(\w+)")
_UNKNOWN = "See the log for where it came from, then run it again; if it comes back, please report it."


# Lines of a log that may tell why a JVM ended: errors alone, since warnings come in runs that end well, too.
_TELLING = re.compile(r"\bERROR\b|^Error|^Exception in thread|^Invalid |^JAVA_HOME|Java Runtime")
_LAST_LINES = 400


def explain(error: BaseException | str, prefix: str = "", log: str = "") -> GmmSparkError:
    """Return an error of ours for any error: its message is the cause, and it knows what to do.

    Parameters
    ----------
    error : BaseException or str
        An error of ours is returned as it is. Of another, or a text, the errors that it wraps are looked at too.
    prefix : str
        Begins the message, such as ``input.path: got 'x', which cannot be read: ``.
    log : str
        The end of the JVM's log. It is asked only if the error itself tells no more than that the JVM has ended.
    """
    if isinstance(error, GmmSparkError):
        return error
    links = [link for text in _list_texts(error) for link in read_links(text)] or [Link("", "an error without a text")]
    for link in reversed(links):
        if (named := _OURS.fullmatch(link.kind)) and (kind := _find_kind(named[1])):
            return kind(prefix + link.told)  # raised by a worker, it arrives as text
    for cause in TABLE:
        for link in reversed(links):
            if found := cause.pattern.search(link.line):
                better = _search_log(log, prefix) if cause.is_vague else None
                return better or _build(cause, link, found, prefix)
    root = next((link for link in reversed(links) if link.told), links[-1])
    unknown = UnexplainedError(prefix + _cut(root.line if root.told else f"{root.kind}, without a message"))
    unknown.remedy = _UNKNOWN
    return unknown


def _search_log(log: str, prefix: str) -> GmmSparkError | None:
    """Return what the last errors of a log mean, or None if they tell nothing."""
    telling = [line for line in log.splitlines()[-_LAST_LINES:] if _TELLING.search(line)]
    for cause in TABLE:
        for line in reversed(telling) if not cause.is_vague else ():
            if found := cause.pattern.search(line):
                return _build(cause, Link("", line), found, prefix)
    return None


def _list_texts(error: BaseException | str) -> Sequence[str]:
    """Return the text of an error, and of those that it was raised from."""
    if isinstance(error, str):
        return [error]
    texts, known = list[str](), set[int]()
    following: BaseException | None = error
    while following is not None and id(following) not in known:
        known.add(id(following))
        texts.append(read_text(following))
        following = following.__cause__
    return texts


def _build(cause: Cause, link: Link, found: re.Match[str], prefix: str) -> GmmSparkError:
    groups = {name: value or "" for name, value in found.groupdict().items()}
    ours = cause.kind(prefix + _cut(cause.meaning.format(told=link.told or link.kind, **groups)))
    ours.remedy = cause.remedy
    return ours


def _find_kind(name: str) -> type[GmmSparkError] | None:
    kind = getattr(errors, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, GmmSparkError) else None


def _cut(text: str) -> str:
    """Keep the beginning and the end of a text that is too long for a line."""
    text = " ".join(text.split()).strip(" :")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 80]} ... {text[-75:]}"
