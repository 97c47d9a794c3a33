"""Pictures of the mixture: where its components lie."""

from __future__ import annotations

from gmm_spark.report.blocks import Block, Section
from gmm_spark.report.drawing import draw
from gmm_spark.report.subject import Subject


def describe_pictures(subject: Subject) -> Section:
    """Show the mixture."""
    blocks: list[Block] = [draw("draw_means", subject.parameters, subject.shown_names)]
    return Section("pictures", "Pictures", blocks)
