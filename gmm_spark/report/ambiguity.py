"""Ambiguity: which components share rows, and which belong together."""

from __future__ import annotations

from gmm_spark.core.description.merging import MergeTree
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.blocks import Block, Missing, Section, Text
from gmm_spark.report.drawing import draw
from gmm_spark.report.subject import Subject


def tell_ambiguity(subject: Subject) -> Section:
    """Say which components cannot be told apart."""
    k = subject.parameters.n_components
    if k == 1:
        return Section("ambiguity", "Ambiguity", [Text("There is one component: no row is shared.")])
    blocks: list[Block] = []
    if subject.portrait is None:
        blocks.append(
            Missing(
                "How often rows are shared by two components takes one pass over the table.", subject.portrait_command
            )
        )
    else:
        blocks += _tell_confusion(subject.portrait)
        if subject.parameters.noise is not None:
            blocks.append(Text(f"Number {k} is noise: what it shares with a component are rows at its edge."))
    tree = subject.merge_tree or MergeTree.drawn(subject.parameters)
    blocks += _tell_merges(tree, is_drawn=subject.merge_tree is None)
    return Section("ambiguity", "Ambiguity", blocks)


def _tell_confusion(portrait: Portrait) -> list[Block]:
    explanation = Text(
        "Two components share a row as its responsibilities say. If no row were shared, two draws of a row's component "
        "would always agree."
    )
    return [draw("draw_confusion", portrait), explanation]


def _tell_merges(tree: MergeTree, is_drawn: bool) -> list[Block]:
    whose = "rows drawn from the mixture" if is_drawn else "the fit's sample"
    method = (
        "The two that share most are merged, and so on; each merge lowers the entropy of the responsibilities (Baudry "
        f"et al. 2010), here that of {whose}: 0 if clusters share no row."
    )
    if tree.suggested < tree.n_components:
        method += (
            " Where the fall bends is a matter of judgement, and says which components share rows, not which rows "
            "are of one kind. Look at the pictures, and at what sets the components apart, before you make them one."
        )
    return [draw("draw_merges", tree), Text(method)]
