"""Write the pages that are made from the code: ``python docs/generate.py``, or ``make docs``.

``docs/parameters.md`` comes from the estimators' Params and docstrings, ``docs/job-keys.md`` from the jobs'
configurations, ``docs/checks.md`` from the registry of checks, ``docs/drop-in.md`` from pyspark.ml's classes and ours,
and the map of the code in ``CONTRIBUTING.md`` from the first lines of the modules' docstrings. A test fails if what is
in the repository differs from what this script would write.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import pyspark
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pyspark.ml.param import Params

import drop_in
from gmm_spark import GaussianMixture, GaussianMixtureSelector
from gmm_spark.core.checks.check import Rule
from gmm_spark.core.checks.registry import RULES
from gmm_spark.jobs.config.exports import ExportConfiguration
from gmm_spark.jobs.config.fields import OneOf
from gmm_spark.jobs.config.jobs import (
    FitConfiguration,
    JobConfiguration,
    SampleConfiguration,
    ScoreConfiguration,
    SelectConfiguration,
)
from gmm_spark.jobs.config.reports import CompareConfiguration, ReportConfiguration
from gmm_spark.jobs.config.updates import UpdateConfiguration
from gmm_spark.jobs.config.upkeep import PruneConfiguration, RunsConfiguration

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "gmm_spark"
ROOMS = ("jobs", "report", "ml", "interop", "spark", "storage", "core")  # from the top layer down
MAP = re.compile("(?<=<!-- map of the code -->\n).*?(?=<!-- end of the map -->)", re.DOTALL)
JOBS: list[type[JobConfiguration]] = [
    FitConfiguration,
    SelectConfiguration,
    UpdateConfiguration,
    ScoreConfiguration,
    SampleConfiguration,
    ReportConfiguration,
    CompareConfiguration,
    ExportConfiguration,
    RunsConfiguration,
    PruneConfiguration,
]
NOTE = "<!-- Written by docs/generate.py: change the code, then run `make docs`. -->"

PARAMETERS = f"""{NOTE}
# Parameters

Each parameter is a keyword of the constructor and has a getter; most have a setter, as in pyspark.ml.

"""

JOB_KEYS = f"""{NOTE}
# Keys of the jobs

Each key can stand in a TOML file or be given as a flag: `--model.k 8`. [Jobs](jobs.md) says how the two combine.
"required" means that there is no default.

"""

CHECKS = f"""{NOTE}
# Checks

A fit that ends well can still be wrong: a code for missing values makes a cluster of its own, a component sits on one
row, the chosen k is the largest that was tried. So every fit checks itself. `model.summary.checks` lists what it found,
worst first. The checks read what the fit knows anyway, and take no pass over the table. Those of columns look at up to
20,000 rows of the sample.

```python
import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture

spark = SparkSession.builder.getOrCreate()
rng = np.random.default_rng(3)
rows = pd.DataFrame({{"age": rng.normal(40, 9, 2000).round(), "income": rng.normal(50, 5, 2000)}})
rows.loc[::100, "income"] = -999

model = GaussianMixture(inputCols=["age", "income"], k=2).fit(spark.createDataFrame(rows))
for check in model.summary.checks:
    print(check)
assert "missing-value-code" in {{check.code for check in model.summary.checks}}
```

A check has a `code`, a `severity`, a `meaning` with its `figures` in it, a `remedy`, and, if it is about one, a
`component` or a `column`. A code keeps its name and its meaning in all later versions; new ones may be added. A fit
also warns of what is serious (Python's `RuntimeWarning`).

| severity | |
|---|---|
| serious | the mixture, or the data it was fitted to, is probably not what was meant |
| warning | the mixture may be worse than it could be |
| info | something may improve it |

The jobs fit and select [print a line for each check](jobs.md#what-speaks-against-a-fit), and put all of them into the
report. There, remedies name the jobs' keys.

A summary is not saved with a model, and neither are its checks.

"""

DROP_IN = f"""{NOTE}
# In place of pyspark.ml's GaussianMixture

Change the import, and keep the code:

```python
from gmm_spark import GaussianMixture, GaussianMixtureModel, GaussianMixtureSummary
```

Here is every public name of the three classes of `pyspark.ml.clustering`, found by looking at the classes of
pyspark {{version}} itself. A test compares each with pyspark.ml's own, on a mixture that both have fitted
(`tests/public/test_drop_in.py`), and pyspark.ml's own examples are run with the import changed. "pyspark's own" is
code that both inherit. [What differs](differences.md) in what a fit finds is a page of its own.

"""


def pages() -> dict[Path, str]:
    """Return the text of every generated page."""
    estimators = (GaussianMixture(), GaussianMixtureSelector())
    contributing = DOCS.parent / "CONTRIBUTING.md"
    return {
        contributing: MAP.sub(lambda _: package_map(), contributing.read_text(encoding="utf-8")),
        DOCS / "parameters.md": PARAMETERS + "\n".join(map(parameter_table, estimators)),
        DOCS / "drop-in.md": DROP_IN.format(version=minor_version()) + "\n".join(starmap(drop_in_table, drop_in.PAIRS)),
        DOCS / "job-keys.md": JOB_KEYS + "\n".join(map(key_table, JOBS)),
        DOCS / "checks.md": CHECKS
        + table(("code", "severity", "what is found"), [*map(check_row, RULES)])
        + check_texts(),
    }


def minor_version() -> str:
    """Return pyspark's version, without the patch."""
    return ".".join(pyspark.__version__.split(".")[:2])


def drop_in_table(theirs: type, ours: type) -> str:
    """Compare every public name of a class of pyspark.ml with ours."""
    found = drop_in.compare(theirs, ours)
    rows = [(f"`{one.name}`", one.kind, one.code, one.difference) for one in found]
    differing = sum(one.code == "differs" for one in found)
    head = f"## {theirs.__name__}\n\n{len(found)} names, of which {differing} differ in some way.\n\n"
    return head + table(("name", "kind", "here", "what differs"), rows)


def parameter_table(estimator: Params) -> str:
    """Describe every Param of an estimator, in the order of its docstring.

    Raises
    ------
    ValueError
        If the docstring leaves a Param out, or describes one that is not there.
    """
    entries = documented_parameters(type(estimator))
    names = {param.name for param in estimator.params}
    if entries.keys() != names:
        raise ValueError(
            f"{type(estimator).__name__}: Params {sorted(names - entries.keys())} are not in the docstring, "
            f"{sorted(entries.keys() - names)} are there alone; describe each Param under Parameters"
        )
    rows, as_elsewhere = [], []
    for name, (values, meaning) in entries.items():
        param = estimator.getParam(name)
        default = shown(estimator.getOrDefault(param)) if estimator.isDefined(param) else "none"
        if values:
            rows.append((f"`{name}`", default, values, meaning or param.doc))
        else:  # described in one sentence with others
            as_elsewhere.append((f"`{name}`", meaning))
    text = f"## {type(estimator).__name__}\n\n" + table(("parameter", "default", "values", "meaning"), rows)
    for meaning in dict.fromkeys(meaning for _, meaning in as_elsewhere):
        text += "\n" + ", ".join(name for name, its in as_elsewhere if its == meaning) + f": {meaning}\n"
    return text


def documented_parameters(kind: type) -> dict[str, tuple[str, str]]:
    """Read the section Parameters of a numpydoc docstring: name → (values, meaning)."""
    text = re.sub(r"\\\n", "", inspect.getdoc(kind) or "")
    section = text.split("\nParameters\n")[1].split("\n", 1)[1]  # past the line of dashes
    section = re.split(r"\n\n\w[\w ]*\n-+\n", section)[0]
    found = {}
    for entry in re.split(r"\n(?=\S)", section):
        head, _, meaning = entry.partition("\n")
        names, _, values = head.partition(" : ")
        values = re.sub("[{}]", "", re.sub(", (optional|default .*)$", "", values))
        for name in names.split(", "):
            found[name] = (values, plain(" ".join(meaning.split())))
    return found


def plain(text: str) -> str:
    """Turn reStructuredText's marks into Markdown's."""
    text = re.sub(r":\w+:`~?([\w.]+)`", lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def check_row(rule: Rule) -> tuple[str, str, str]:
    """Describe a check in one row: its code, which links to its section, its severity, and what it finds."""
    return f"[`{rule.code}`](#{rule.code})", rule.severity, paragraphs(rule)[0]


def check_texts() -> str:
    """Describe every check in a section of its own."""
    return "".join("\n\n".join([f"\n## {rule.code}", *paragraphs(rule)]) + "\n" for rule in RULES)


def paragraphs(rule: Rule) -> list[str]:
    """Return the paragraphs of a check's docstring; raises ValueError if it has none."""
    text = inspect.getdoc(rule.find)
    if not text:
        raise ValueError(f"{rule.code}: no docstring, needs one that says what is found")
    return [plain(" ".join(one.split())) for one in text.split("\n\n")]


def key_table(configuration: type[JobConfiguration]) -> str:
    """Describe every key of a job's configuration."""
    rows = []
    for name, field in sorted(keys(configuration), key=lambda key: key[0].startswith("run.")):  # those last
        default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        rows.append((f"`{name}`", default, values_of(field.annotation, field.metadata), field.description or ""))
    head = f"## {configuration.job}\n\n{inspect.getdoc(configuration)}\n\n"
    return head + table(("key", "default", "values", "meaning"), rows)


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Walk the fields of a configuration, by their dotted names."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def values_of(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Say in a few words what a field takes."""
    for choice in metadata:
        if isinstance(choice, OneOf):
            return ", ".join(choice.names)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values_of(parts[0], parts[1:])
    if origin is list:
        return f"list of: {values_of(parts[0])}"
    if origin is dict:
        return "key=value, ..."
    if parts:  # an optional value
        return values_of(next(part for part in parts if part is not NoneType))
    return {bool: "true, false", int: "integer", float: "number", str: "text"}[annotation]


def shown(default: Any) -> str:
    """Write a default as in a TOML file; an absent or empty one is none."""
    if default is None or default == "" or default == {} or default == []:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"


def package_map() -> str:
    """List every module of the package with the first line of its docstring."""
    own = [module_line(path, "") for path in sorted(PACKAGE.glob("*.py"))]
    return "\n" + "".join([*own, *(line for room in ROOMS for line in room_lines(PACKAGE / room, ""))]) + "\n"


def room_lines(folder: Path, indent: str) -> Iterator[str]:
    """List a folder, then what is in it: its modules, then its folders."""
    yield f"{indent}- **`{folder.name}/`** {first_line(folder / '__init__.py')}\n"
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield module_line(path, indent + "  ")
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").exists():
            yield from room_lines(inner, indent + "  ")


def module_line(path: Path, indent: str) -> str:
    """List one module."""
    return f"{indent}- `{path.name}`: {first_line(path)}\n"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{path}: no docstring, needs one whose first line says what the module is")
    return plain(text.partition("\n")[0])


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)
