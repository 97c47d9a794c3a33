"""Ambiguity: which components share rows, and which belong together."""

from __future__ import annotations

import numpy as np

from gmm_spark.core.description.components import join
from gmm_spark.core.description.merging import Merge, MergeTree
from gmm_spark.core.formatting import count_of, show_number, show_share
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.report.blocks import Block, Cell, Missing, Section, Table, Text, word
from gmm_spark.report.subject import Subject

# Components up to which the whole matrix is shown; of more, the pairs that share most.
_WHOLE, _PAIRS = 12, 20
# Merges that are listed, the last ones.
_MERGES = 20


def tell_ambiguity(subject: Subject) -> Section:
    """Say which components cannot be told apart."""
    k = subject.parameters.n_components
    if k == 1:
        return Section("ambiguity", "Ambiguity", [Text("There is one component: every row is certain of it.")])
    blocks: list[Block] = []
    if subject.portrait is None:
        blocks.append(
            Missing(
                "How often rows are shared by two components takes one pass over the table.", subject.portrait_command
            )
        )
    else:
        blocks += _tell_confusion(subject.portrait)
    tree = subject.merge_tree or MergeTree.drawn(subject.parameters)
    blocks += _tell_merges(tree, is_drawn=subject.merge_tree is None)
    return Section("ambiguity", "Ambiguity", blocks)


def _tell_confusion(portrait: Portrait) -> list[Block]:
    overlap, k = portrait.overlap, len(portrait.confusion)
    own = float(np.trace(portrait.confusion) / portrait.component_weights.sum())
    text = Text(
        f"On average a row's component is {show_share(own)} certain: so often two draws of it, by the row's "
        "responsibilities, agree."
    )
    if k <= _WHOLE:
        rows = [
            [
                word(str(i)),
                *(Cell(show_share(float(overlap[i, j])), float(min(overlap[i, j], 1.0))) for j in range(k)),
            ]
            for i in range(k)
        ]
        caption = "Of the weight of each component (rows), the share that is as well another's (columns)"
        return [text, Table(caption, ["component", *map(str, range(k))], rows)]
    apart = overlap - np.diag(np.diag(overlap))
    order = np.argsort(-apart, axis=None, kind="stable")[:_PAIRS]
    pairs = [(int(one // k), int(one % k)) for one in order if apart.flat[one] > 0]
    rows = [
        [word(str(i)), Cell(str(j)), Cell(show_share(float(apart[i, j])), float(min(apart[i, j], 1.0)))]
        for i, j in pairs
    ]
    caption = (
        f"Of the weight of a component, the share that is as well another's: the {len(rows)} largest of {k * (k - 1)}"
    )
    return [text, Table(caption, ["component", "other", "shared"], rows)]


def _tell_merges(tree: MergeTree, is_drawn: bool) -> list[Block]:
    whose = "rows drawn from the mixture" if is_drawn else "the fit's sample"
    method = (
        "The two that share most are merged, and so on; each merge lowers the entropy of the responsibilities (Baudry "
        f"et al. 2010), here that of {whose}: 0 if every row is certain of its cluster."
    )
    k = tree.n_components
    if tree.suggested < k:
        joined = [join([str(j) for j in one]) for one in tree.clusters(tree.suggested) if len(one) > 1]
        verdict = (
            f"As clusters, components {', and '.join(joined)} belong together: {count_of(tree.suggested, 'cluster')} "
            f"are left, and further merges lower the entropy less. As a density the mixture needs all {k} components."
        )
    else:
        verdict = "There is nothing to merge: the components are clusters of their own."
    listed = tree.merges[-_MERGES:]
    rows = [_list_merge(one, tree) for one in listed]
    if len(listed) == len(tree.merges):
        rows.insert(0, [word(str(k)), word("no merge"), Cell(show_number(tree.entropy, 3)), Cell("–")])
    caption = "Merges" if len(listed) == len(tree.merges) else f"Merges: the last {len(listed)} of {len(tree.merges)}"
    head = ["clusters left", "merged", "entropy, nats a row", "rows of the merged"]
    return [Text(verdict), Text(method), Table(caption, head, rows)]


def _list_merge(one: Merge, tree: MergeTree) -> list[Cell]:
    merged = " with ".join(", ".join(map(str, part)) for part in (one.first, one.second))
    largest = max(float(tree.entropies.max()), 1e-12)
    mark = " (suggested)" if one.clusters == tree.suggested else ""
    return [
        word(f"{one.clusters}{mark}"),
        word(merged),
        Cell(show_number(one.entropy, 3), min(max(one.entropy / largest, 0.0), 1.0)),
        Cell(show_share(one.weight)),
    ]
