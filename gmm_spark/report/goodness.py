"""Does it fit: the observed rows against the modelled ones, by feature, by likelihood, and by region."""

from __future__ import annotations

from gmm_spark.core.description.densities import compare_densities
from gmm_spark.core.description.fit import POOR, FeatureFit, judge_features
from gmm_spark.core.description.regions import find_regions
from gmm_spark.core.formatting import count_of, show_name, show_number, show_share
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.drawing import draw
from gmm_spark.report.subject import Subject
from gmm_spark.report.verdict import Note

# Features whose histograms are drawn: the worst.
_DRAWN = 6
_NAMED = 3
_TONES = {"good": "pass", "fair": "look", "poor": "stop"}


def judge_fit(subject: Subject) -> Section:
    """Say whether the mixture describes the rows."""
    portrait = subject.shown_portrait
    histogram = subject.log_densities if portrait is None else portrait.log_densities
    blocks: list[Block] = []
    if histogram is not None:
        found = compare_densities(subject.parameters, histogram)
        blocks.append(Text(found.sentence, _TONES[found.verdict]))
        rows = [
            [word(show_share(float(q))), Cell(show_number(float(seen), 5)), Cell(show_number(float(drawn), 5))]
            for q, seen, drawn in found.quantiles
        ]
        head = ["share of the rows that is less likely", "than, nats: the table's rows", "rows drawn from the mixture"]
        blocks.append(Table("How likely rows are, and how likely rows drawn from the mixture are", head, rows))
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
        blocks += _judge_features(subject, portrait)
    return Section("fit", "Does it fit?", blocks)


def note_fit(subject: Subject) -> list[Note]:
    """Say in a line what the verdict, which comes from the checks alone, leaves open: what is described poorly."""
    portrait = subject.shown_portrait
    if portrait is None:
        return []
    fits = judge_features(subject.parameters, portrait, subject.facts["rows"].number("effective"))
    poor = [one.name for one in fits if one.verdict == POOR]
    if not poor:
        return []
    named = ", ".join(poor[:_NAMED]) + (f" and {len(poor) - _NAMED} more" if len(poor) > _NAMED else "")
    are = "is" if len(poor) == 1 else "are"
    said = f"{len(poor)} of {count_of(len(fits), 'feature')} {are} described poorly: {named}."
    return [Note(said, "fit", "look")]


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
    effective = subject.facts["rows"].number("effective")
    fits = judge_features(subject.parameters, portrait, effective)
    worst = sorted(fits, key=lambda one: -(one.misplaced - one.by_chance))
    blocks: list[Block] = [_list_features(worst)]
    if worst[0].verdict == POOR:
        blocks.append(
            Text(
                "What is described poorly may need more components (the job select tries several k), a logarithm if it "
                "is skewed, or a table without the rows that stand apart. If only clusters matter, it may do as it is."
            )
        )
    regions = find_regions(subject.parameters, portrait, effective_rows=effective)
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


def _list_features(worst: list[FeatureFit]) -> Table:
    head = ["feature", "fit", "rows in the wrong place", "of which by chance", "what differs"]
    rows = [
        [
            word(one.name),
            Cell(one.verdict, tone=_TONES[one.verdict], is_number=False),
            Cell(show_share(one.misplaced), min(one.misplaced, 1.0)),
            Cell(show_share(one.by_chance)),
            word(one.sentence),
        ]
        for one in worst
    ]
    return Table("Each feature, observed against modelled, the worst first", head, rows)
