"""The page of one mixture: its sections, in the order in which a reader asks."""

from __future__ import annotations

from dataclasses import replace

from gmm_spark.core.formatting import count_of, show_count
from gmm_spark.report.ambiguity import tell_ambiguity
from gmm_spark.report.anomalies import describe_anomalies
from gmm_spark.report.choice import describe_choice
from gmm_spark.report.components import tell_components
from gmm_spark.report.cost import describe_cost
from gmm_spark.report.drift import describe_drift
from gmm_spark.report.glossary import explain_words
from gmm_spark.report.goodness import judge_fit
from gmm_spark.report.page import render
from gmm_spark.report.pictures import show_pictures
from gmm_spark.report.provenance import describe_fitted, name_table
from gmm_spark.report.search import describe_search
from gmm_spark.report.subject import Subject
from gmm_spark.report.trust import note_trust
from gmm_spark.report.usage import describe_usage
from gmm_spark.report.verdict import SIGNS, judge, note_update

_SECTIONS = (
    describe_fitted,
    tell_components,
    show_pictures,
    judge_fit,
    tell_ambiguity,
    describe_choice,
    describe_search,
    describe_anomalies,
    describe_drift,
    describe_cost,
    describe_usage,
    explain_words,
)


def render_report(subject: Subject) -> str:
    """Return the report of a mixture, as one HTML page.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    """
    parameters, rows = subject.parameters, subject.rows
    table = name_table(subject.facts)
    noise = "" if parameters.noise is None else " and noise"
    fitted = "" if rows is None else f", fitted to {show_count(rows)} rows{f' of {table}' if table else ''}"
    lead = (
        f"{count_of(parameters.n_components, 'component')}{noise} in {count_of(parameters.n_features, 'feature')}, "
        f"{parameters.covariance_type} covariances{fitted}"
    )
    sections = [describe(subject) for describe in _SECTIONS]
    judged, notes = judge(subject.facts), [*note_update(subject.facts), *note_trust(subject)]
    tones = {note.tone for note in notes}
    if judged.tone == "pass" and "stop" in tones:
        why = f"{judged.why} But what is marked {SIGNS['stop']} below does: look at it before you use the mixture."
        judged = replace(judged, tone="look", word="Look", sign=SIGNS["look"], why=why)
    elif judged.tone == "pass" and "look" in tones:
        why = f"{judged.why} What is marked {SIGNS['look']} below limits what the mixture is good for."
        judged = replace(judged, why=why)
    verdict = replace(judged, notes=notes)
    return render(f"Gaussian mixture, {subject.title}", lead, verdict, sections)
