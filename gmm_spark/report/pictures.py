"""Pictures of the mixture: where its components lie, over all rows."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.report.blocks import Block, Missing, Section, Text
from gmm_spark.report.drawing import draw
from gmm_spark.report.subject import Subject


def show_pictures(subject: Subject) -> Section:
    """Show the mixture."""
    parameters, portrait, names = subject.parameters, subject.shown_portrait, subject.shown_names
    blocks: list[Block] = [draw("draw_means", parameters, names)] if parameters.n_components > 1 else []
    if portrait is None:
        blocks.append(
            Missing(
                "Pictures of the rows beside the mixture take one pass over the table: the job fit makes it at its "
                "end, unless output.portrait is false, and this command makes it now.",
                subject.portrait_command,
            )
        )
    elif len(portrait.frame.shown) < 2:
        blocks.append(Text("The histogram of the only feature is in the next section."))
    else:
        blocks.append(draw("draw_pair", parameters, portrait, *choose_pair(parameters, portrait.frame.shown)))
        if len(portrait.frame.shown) > 2:
            blocks.append(draw("draw_pairs", parameters, portrait, is_wide=True))
    return Section("pictures", "Pictures", blocks)


def choose_pair(parameters: MixtureParameters, shown: tuple[int, ...]) -> tuple[int, int]:
    """Choose two features that show the components apart, and do not say the same.

    The first is that in which the means differ most, in standard deviations of the mixture. The second is likewise, but
    what the first has said already counts less: times one minus their squared correlation over all rows.
    """
    some = list(shown)
    mean, variance = (one[some] for one in parameters.moments())
    offsets = (parameters.means[:, some] - mean) / np.sqrt(variance)  # (k, s)
    apart = parameters.weights @ offsets**2
    first = int(apart.argmax())
    within = parameters.dense_covariances[:, some[first], some] / np.sqrt(variance[first] * variance)  # (k, s)
    correlation = parameters.weights @ (within + offsets[:, [first]] * offsets)
    news = (apart + 1e-9) * np.maximum(1.0 - correlation**2, 0.0)
    news[first] = -1.0
    return some[first], some[int(news.argmax())]
