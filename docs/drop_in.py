"""The public names of pyspark.ml's Gaussian mixture beside ours, found by looking at the classes themselves.

``docs/generate.py`` makes ``docs/drop-in.md`` of it. A name that is not here, is of another kind, has other arguments
or another default needs its reason in :data:`DIFFERENCES`: without one the page is not made, and a test fails.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyspark.ml import clustering
from pyspark.ml.param import Param

from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSummary

PAIRS: tuple[tuple[type, type], ...] = (
    (clustering.GaussianMixture, GaussianMixture),
    (clustering.GaussianMixtureModel, GaussianMixtureModel),
    (clustering.GaussianMixtureSummary, GaussianMixtureSummary),
)

_FILES = (
    "the files are laid out otherwise, and neither package reads the other's: ours hold every covariance structure, "
    "and reading them calls no class that they name. `setInitialModel` takes a model that pyspark.ml has loaded"
)
_SEE_LOAD = "the files are ours: see `load`"
_TOL = "default 0.0001, the change of the mean log-likelihood per row: the same for any number of rows"
_SEED = "default 0, so that a fit comes out the same again; there it is drawn anew by each process"

# (class, name) → what is different here, and why.
DIFFERENCES: dict[tuple[str, str], str] = {
    ("GaussianMixture", "tol"): _TOL,
    ("GaussianMixture", "getTol"): _TOL,
    ("GaussianMixture", "seed"): _SEED,
    ("GaussianMixture", "getSeed"): _SEED,
    ("GaussianMixture", "k"): "1 is allowed: one Gaussian is the baseline of every choice of k",
    ("GaussianMixture", "aggregationDepth"): "no effect: small sums are added on the driver, large ones are shuffled",
    ("GaussianMixture", "setAggregationDepth"): "accepted, without effect",
    ("GaussianMixture", "setParams"): "takes the keywords there and those of [our own parameters](parameters.md)",
    ("GaussianMixture", "save"): _SEE_LOAD,
    ("GaussianMixture", "load"): _FILES,
    ("GaussianMixture", "write"): _SEE_LOAD,
    ("GaussianMixture", "read"): _SEE_LOAD,
    ("GaussianMixture", "fitMultiple"): "maps that read the same columns are fitted in shared passes over the table",
    ("GaussianMixture", "params"): "there are more: [parameters](parameters.md)",
    ("GaussianMixture", "explainParam"): "the texts are ours",
    ("GaussianMixture", "explainParams"): "the texts are ours, and there are more",
    ("GaussianMixture", "extractParamMap"): "there are more: [parameters](parameters.md)",
    ("GaussianMixtureModel", "tol"): "that of the fit; the default is as above",
    ("GaussianMixtureModel", "getTol"): "that of the fit; the default is as above",
    ("GaussianMixtureModel", "seed"): "that of the fit; the default is as above",
    ("GaussianMixtureModel", "getSeed"): "that of the fit; the default is as above",
    ("GaussianMixtureModel", "k"): "of the fitted mixture, if it was set or not",
    ("GaussianMixtureModel", "weights"): "a numpy array, as means and covariances are; `==` compares each element",
    ("GaussianMixtureModel", "predict"): "lists and numpy arrays too; a NaN is treated as `handleInvalid` says",
    ("GaussianMixtureModel", "predictProbability"): "as `predict`",
    ("GaussianMixtureModel", "save"): _SEE_LOAD,
    ("GaussianMixtureModel", "load"): "as there; of a directory of a job's runs, the newest complete one is read",
    ("GaussianMixtureModel", "write"): _SEE_LOAD,
    ("GaussianMixtureModel", "read"): _SEE_LOAD,
    ("GaussianMixtureModel", "summary"): "a RuntimeError if there is none; there, the JVM's error",
    ("GaussianMixtureModel", "params"): "there are more: [parameters](parameters.md)",
    ("GaussianMixtureModel", "explainParam"): "the texts are ours",
    ("GaussianMixtureModel", "explainParams"): "the texts are ours, and there are more",
    ("GaussianMixtureModel", "extractParamMap"): "there are more: [parameters](parameters.md)",
    ("GaussianMixtureSummary", "logLikelihood"): "of the parameters returned; there, of those before the last step",
}


@dataclass(frozen=True)
class Comparison:
    """A public name of pyspark.ml's class, and what it is here.

    Attributes
    ----------
    name : str
    kind : {"Param", "property", "method"}
        What it is there.
    code : {"the same", "pyspark's own", "differs"}
        Whose code answers here. "differs" if something differs, as ``difference`` says.
    difference : str
    """

    name: str
    kind: str
    code: str
    difference: str


def compare(theirs: type, ours: type) -> list[Comparison]:
    """Compare every public name of a class of pyspark.ml with ours.

    Raises
    ------
    ValueError
        If a difference that can be seen in the classes has no reason in :data:`DIFFERENCES`, or a reason there names
        something that pyspark.ml does not have.
    """
    listed = {name for kind, name in DIFFERENCES if kind == theirs.__name__}
    if unknown := listed - set(public_names(theirs)):
        raise ValueError(f"DIFFERENCES lists {sorted(unknown)}, which {theirs.__name__} of pyspark.ml does not have")
    found = []
    for name in public_names(theirs):
        reason = DIFFERENCES.get((theirs.__name__, name), "")
        if not reason and (seen := find_difference(theirs, ours, name)):
            raise ValueError(f"{theirs.__name__}.{name}: {seen}; change it, or give the reason in docs/drop_in.py")
        inherited = not reason and _static(theirs, name) is _static(ours, name)
        code = "differs" if reason else "pyspark's own" if inherited else "the same"
        found.append(Comparison(name, kind_of(theirs, name), code, reason))
    return found


def public_names(kind: type) -> list[str]:
    """List the public names of a class, inherited ones too, in alphabetical order."""
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def find_difference(theirs: type, ours: type, name: str) -> str:
    """Say what differs between two classes' attributes of one name, as far as the classes show it; empty if nothing."""
    if not _has(ours, name):
        return "there is no such name here"
    there, here = kind_of(theirs, name), kind_of(ours, name)
    if there != here:
        return f"a {there} there, a {here} here"
    if there == "method":
        lacking = set(_arguments(theirs, name)) - set(_arguments(ours, name))
        return f"no argument {', '.join(sorted(lacking))} here" if lacking else ""
    if there == "Param" and issubclass(ours, GaussianMixture):
        ours_default, their_default = _default_here(ours, name), _default_there(theirs, name)
        return "" if ours_default == their_default else f"default {their_default} there, {ours_default} here"
    return ""


def kind_of(kind: type, name: str) -> str:
    """Return what an attribute of a class is: a Param, a property or a method."""
    if name in _described_attributes(kind):
        return "property"
    found = _static(kind, name)
    if isinstance(found, Param):
        return "Param"
    return "method" if callable(found) or isinstance(found, classmethod | staticmethod) else "property"


def _has(kind: type, name: str) -> bool:
    return hasattr(kind, name) or name in _described_attributes(kind)


def _static(kind: type, name: str) -> Any:
    return inspect.getattr_static(kind, name, None)


def _described_attributes(kind: type) -> Iterator[str]:
    """Read the names of the section Attributes of a numpydoc docstring: those that an instance sets for itself."""
    section = re.search(r"\nAttributes\n-+\n(.*?)(?=\n\n\S|\Z)", inspect.getdoc(kind) or "", re.DOTALL)
    heads = re.findall(r"^(\S.*) :", section[1], re.MULTILINE) if section else []
    return iter([name for head in heads for name in head.split(", ")])


def _arguments(kind: type, name: str) -> list[str]:
    return list(inspect.signature(getattr(kind, name)).parameters)


def _default_there(kind: type, name: str) -> Any:
    """Return the default of a Param as the constructor of pyspark.ml's class has it; building one starts a JVM."""
    return inspect.signature(kind).parameters[name].default


def _default_here(kind: type, name: str) -> Any:
    built = kind()
    return built.getOrDefault(name) if built.isDefined(name) else None
