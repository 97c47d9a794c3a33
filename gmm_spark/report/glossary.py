"""Words of the page that a reader may not know."""

from __future__ import annotations

from gmm_spark.report.blocks import Section, Table, word
from gmm_spark.report.subject import Subject

_WORDS = (
    ("component", "One of the Gaussians: a group of rows with a centre, a size, a shape and a direction of its own."),
    ("weight", "A component's share of the rows. A row that two components may have made counts for both, in part."),
    ("responsibility", "The probability that a component made a row. Those of a row sum to 1."),
    ("certain", "A row is certain of its most probable component if that has a responsibility of 0.9 or more."),
    ("shared", "Components share a row if each of them has a part of its responsibilities."),
    (
        "overlap",
        "How alike two components are in place, size and shape, from 0 to 1; their weights do not count.",
    ),
    ("cluster", "A group of rows. If it is no ellipsoid, it takes several components to describe it."),
    (
        "structure",
        "What covariances may be: full, tied (one for all components), diag (along the axes), spherical.",
    ),
    ("sd", "Standard deviation."),
    ("training rows", "The rows that the mixture was fitted to."),
    ("nat", "The unit of logarithms of densities: one nat more is 2.7 times as likely."),
    (
        "log-density",
        "How likely the mixture finds values like a row's, in nats. Low ones are odd; compare them within a model.",
    ),
    ("likelihood", "The mean log-density of the rows, or its sum. Fitting is to raise it."),
    ("EM", "Expectation maximisation, the fit: find the responsibilities, then the components, and again."),
    ("bound", "The likelihood after each pass over the table. It never falls from one step that is kept to the next."),
    ("extrapolated", "A step of EM that was made longer by what the steps before it say, and found to be likelier."),
    ("reseeded", "A component that had lost its rows was begun anew, where rows are explained poorly."),
    (
        "BIC, AIC",
        "Criteria of a model: its fit less a price for each parameter. The smaller the better; BIC asks for more.",
    ),
    (
        "anomaly",
        "A row whose log-density is below a threshold. A share of the training rows sets the threshold.",
    ),
    ("drift", "How far the rows that are scored now differ from those of the fit."),
)


def explain_words(subject: Subject) -> Section:
    """Explain the page's words; those of drift only if there are scores."""
    told = [(name, text) for name, text in _WORDS if name != "drift" or subject.scores]
    rows = [[word(name), word(text)] for name, text in told]
    return Section("words", "Words", [Table("What they mean", ["word", "meaning"], rows)])
