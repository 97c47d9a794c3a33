"""Does it fit: the observed rows against the modelled ones, by feature, by likelihood, and by region."""

from __future__ import annotations

from collections.abc import Sequence

from gmm_spark.core.description.fit import FeatureFit
from gmm_spark.core.description.regions import find_regions
from gmm_spark.core.formatting import show_name, show_number, show_share
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.drawing import draw
from gmm_spark.report.incomplete import tell_compared
from gmm_spark.report.subject import Subject

# Features whose histograms are drawn: the worst.
_DRAWN = 6
TONES = {"good": "pass", "fair": "look", "poor": "stop"}


def judge_fit(subject: Subject) -> Section:
    """Say whether the mixture describes the rows."""
    portrait, found = subject.shown_portrait, subject.densities
    blocks: list[Block] = []
    if found is not None:
        blocks.append(Text(found.sentence, TONES[found.verdict]))
        rows = [
            [word(show_share(float(q))), Cell(show_number(float(seen), 5)), Cell(show_number(float(drawn), 5))]
            for q, seen, drawn in found.quantiles
        ]
        head = ["share of rows below", "log-density of the table's rows, nats", "of rows drawn from the mixture, nats"]
        blocks.append(Table("How likely rows are, and how likely rows drawn from the mixture are", head, rows))
    if subject.overreach:
        blocks.append(
            Text(
                f"The mixture reaches where no row is: {subject.overreach}. That does no harm to clusters; the density "
                "there, and rows drawn from there, are of values that may be impossible.",
                "look",
            )
        )
    blocks += _tell_held_out(subject)
    if portrait is None:
        blocks.append(
            Missing(
                "Observed against modelled distributions by feature, and the worst-explained regions, take one pass "
                "over the table.",
                subject.portrait_command,
            )
        )
    else:
        blocks += tell_compared(subject)
        blocks += _judge_features(subject, portrait)
    return Section("fit", "Does it fit?", blocks)


def _tell_held_out(subject: Subject) -> list[Block]:
    selection = subject.facts["selection"]
    mixtures, chosen = list(selection["mixtures"]), selection.number("chosen")
    if chosen is None or not 0 <= chosen < len(mixtures):
        return []
    held_out, bound = mixtures[int(chosen)].number("heldout"), subject.facts["fit"].number("lower_bound")
    if held_out is None or bound is None:
        return []
    return [
        Text(
            f"The rows that were held out have a mean log-likelihood of {show_number(held_out, 6)} nats, those of the "
            f"fit {show_number(bound, 6)}. If the first were much lower, the mixture would only repeat its rows."
        )
    ]


def _judge_features(subject: Subject, portrait: Portrait) -> list[Block]:
    worst = subject.feature_fits
    blocks: list[Block] = [_list_features(worst)]
    regions = find_regions(subject.parameters, portrait, effective_rows=subject.facts["rows"].number("effective"))
    if regions:
        rows = [
            [word(show_name(one.sentence)), Cell(show_share(one.observed)), Cell(show_share(one.expected))]
            for one in regions
        ]
        blocks.append(Table("Regions that are explained worst", ["region", "rows", "mixture"], rows))
    else:
        blocks.append(Text("No region has many more or many fewer rows than the mixture says."))
    drawn = worst[:_DRAWN]
    if len(worst) > len(drawn):
        blocks.append(Text(f"Histograms of the {len(drawn)} features that are described worst, of {len(worst)}:"))
    blocks += [
        draw("draw_histogram", subject.parameters, portrait, one.feature, reading=show_name(one.sentence))
        for one in drawn
    ]
    return blocks


def _list_features(worst: Sequence[FeatureFit]) -> Table:
    head = ["feature", "fit", "rows in other bins", "of which by chance", "what differs", "what may help"]
    rows = [
        [
            word(one.name),
            Cell(one.verdict, tone=TONES[one.verdict], is_number=False),
            Cell(show_share(one.misplaced), min(one.misplaced, 1.0)),
            Cell(show_share(one.by_chance)),
            word(one.sentence),
            word(one.remedy or "–"),
        ]
        for one in worst
    ]
    return Table("Each feature, observed against modelled, the worst first", head, rows)
