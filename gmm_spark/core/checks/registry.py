"""The registry of checks: each code, its severity, and the function that finds it."""

from __future__ import annotations

import warnings

from gmm_spark.core.checks.check import SEVERITIES, Check, Rule
from gmm_spark.core.checks.columns import (
    find_atoms,
    find_collinear,
    find_constant,
    find_mass_out_of_range,
    find_missing_codes,
    find_mostly_missing,
    find_skewed,
)
from gmm_spark.core.checks.components import (
    find_at_floor,
    find_noise_heavy,
    find_overlapping,
    find_starved,
    find_weightless,
)
from gmm_spark.core.checks.convergence import find_rare_optimum, find_unconverged
from gmm_spark.core.checks.evidence import Evidence
from gmm_spark.core.checks.missing import find_missing_by_component
from gmm_spark.core.checks.numbers import find_float32_risk, find_rounded
from gmm_spark.core.checks.rows import find_few_effective_rows, find_skipped, find_wrong_kind
from gmm_spark.core.checks.selection import find_edge, find_uneven_split, find_unexplained_rows

RULES: tuple[Rule, ...] = (
    Rule("component-weightless", "serious", find_weightless),
    Rule("missing-value-code", "serious", find_missing_codes),
    Rule("column-rounded", "serious", find_rounded),
    Rule("float32-risk", "serious", find_float32_risk),
    Rule("not-converged", "warning", find_unconverged),
    Rule("component-at-floor", "warning", find_at_floor),
    Rule("component-starved", "warning", find_starved),
    Rule("components-overlap", "warning", find_overlapping),
    Rule("noise-heavy", "warning", find_noise_heavy),
    Rule("rows-skipped", "warning", find_skipped),
    Rule("weights-against-kind", "warning", find_wrong_kind),
    Rule("weights-on-few-rows", "warning", find_few_effective_rows),
    Rule("column-mostly-missing", "warning", find_mostly_missing),
    Rule("column-constant", "warning", find_constant),
    Rule("column-atom", "warning", find_atoms),
    Rule("columns-collinear", "warning", find_collinear),
    Rule("missing-by-component", "warning", find_missing_by_component),
    Rule("held-out-share", "warning", find_uneven_split),
    Rule("held-out-unlikely", "warning", find_unexplained_rows),
    Rule("k-at-edge", "warning", find_edge),
    Rule("starts-disagree", "info", find_rare_optimum),
    Rule("column-skewed", "info", find_skewed),
    Rule("mass-out-of-range", "info", find_mass_out_of_range),
)
"""All checks, worst first."""


def run_checks(evidence: Evidence) -> list[Check]:
    """Run all checks on what a fit knows.

    A check that fails is warned of and left out: it must not cost a fit that took hours.

    Returns
    -------
    list of Check
        Worst first: by severity, then in the order of :data:`RULES`.
    """
    checks: list[Check] = []
    for rule in sorted(RULES, key=lambda rule: SEVERITIES.index(rule.severity)):
        try:
            checks += rule.apply(evidence)
        except Exception as error:
            warnings.warn(f"the check {rule.code} failed ({error!r}); the fit stands", RuntimeWarning, stacklevel=2)
    return checks
