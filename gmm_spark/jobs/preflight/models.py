"""What a dry run says of the model that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.storage.runs import Located

if TYPE_CHECKING:
    from gmm_spark import GaussianMixtureModel


def plan_model(plan: Plan, model: GaussianMixtureModel, saved: Located | None) -> None:
    """Add to a plan which model is read, and its features."""
    if saved is not None:
        plan.add("model", saved.path if saved.run_id is None else f"run {saved.run_id}, in {saved.path}")
    parameters = model.parameters
    k = f"k = {parameters.n_components}{'' if parameters.noise is None else ' and noise'}"
    plan.add("model", f"{parameters.covariance_type}, {k}, {parameters.n_features} features")
    if model.featureNames:
        plan.add("model", f"fitted on {', '.join(model.featureNames)}")
