"""Types of single configuration values: each says once what it accepts and how it is checked."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gmm_spark.core.kernels.plan import PRECISIONS
from gmm_spark.core.kernels.weight_kinds import WEIGHT_KINDS
from gmm_spark.core.mixture.covariance import STRUCTURES
from gmm_spark.core.search.starts import START_MODES
from gmm_spark.storage.runs import require_run_id

Value = TypeVar("Value", bound="str | int")

LARGEST = 2**63 - 1  # whole numbers go to Java, as longs


class OneOf:
    """Accept the given names only, as ``Literal`` does for names that are known when the code is written.

    Parameters
    ----------
    names : iterable of str
        For example the keys of a registry.

    Examples
    --------
    >>> from pydantic import TypeAdapter
    >>> TypeAdapter(Annotated[str, OneOf({"full": 1, "diag": 2})]).validate_python("diag")
    'diag'
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's schema of a literal, whose errors list the names."""
        return core_schema.literal_schema(list(self.names))


def refuse_boolean(value: Any) -> Any:
    """Refuse ``k = true``: to Python, ``True`` is the number 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "Input should be a number, not a boolean")
    return value


def _read_empty_as_none(value: Any) -> Any:
    """Read an empty text as None."""
    return None if value == "" else value


def _write_as_text(value: Any) -> Any:
    """Write numbers and booleans as Spark does: ``header = true`` in TOML is Spark's ``"true"``."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _refuse_duplicates(values: list[Value]) -> list[Value]:
    """Refuse a list that holds a value twice."""
    twice = [str(value) for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise PydanticCustomError(
            "duplicates",
            "Input should be distinct values; {twice} given more than once",
            {"twice": ", ".join(twice)},
        )
    return values


def _require_run_id(value: str | None) -> str | None:
    """Refuse a run id that cannot name a directory everywhere."""
    try:
        return None if value is None else require_run_id(value)
    except ValueError as error:
        raise PydanticCustomError("run_id", "got {reason}", {"reason": str(error)}) from None


def _require_lineage(wanted: bool) -> bool:
    """Refuse lineage without its client: it would be missed only afterwards."""
    if wanted and find_spec("openlineage") is None:
        raise PydanticCustomError("no_client", "got true, needs OpenLineage's client: pip install 'gmm-spark[lineage]'")
    return wanted


CovarianceType = Annotated[str, OneOf(STRUCTURES)]
InitMode = Annotated[str, OneOf(START_MODES)]
Precision = Annotated[str, OneOf(PRECISIONS)]
# The registries of these three import pyspark, which takes seconds; a test holds the names equal to theirs.
Criterion = Annotated[str, OneOf(("bic", "aic", "icl", "heldout"))]
Packing = Annotated[str, OneOf(("auto", "spark", "parquet"))]
WeightKind = Annotated[str, OneOf(WEIGHT_KINDS)]
HandleInvalid = Annotated[str, OneOf(("error", "skip", "keep", "marginal", "quarantine"))]
LogFormat = Annotated[str, OneOf(("text", "json"))]
Lineage = Annotated[bool, AfterValidator(_require_lineage)]
LogLevel = Annotated[str, OneOf(("debug", "info", "warning", "error"))]
WriteMode = Annotated[str, OneOf(("error", "overwrite", "append"))]

Text = Annotated[str, Field(min_length=1)]
# An empty value on the command line removes what a file has set.
OptionalText = Annotated[str | None, BeforeValidator(_read_empty_as_none)]
# Permissions that new files lack, as the shell writes them.
Umask = Annotated[Annotated[str, Field(pattern="^0?[0-7]{3}$")] | None, BeforeValidator(_read_empty_as_none)]
RunId = Annotated[str | None, BeforeValidator(_read_empty_as_none), AfterValidator(_require_run_id)]
Columns = Annotated[list[Text], Field(min_length=1), AfterValidator(_refuse_duplicates)]
Count = Annotated[int, BeforeValidator(refuse_boolean), Field(ge=1, le=LARGEST)]
CountOrZero = Annotated[int, BeforeValidator(refuse_boolean), Field(ge=0, le=LARGEST)]
Counts = Annotated[list[Count], Field(min_length=1), AfterValidator(_refuse_duplicates)]
Flags = Annotated[list[bool], Field(min_length=1), AfterValidator(_refuse_duplicates)]
CovarianceTypes = Annotated[list[CovarianceType], Field(min_length=1), AfterValidator(_refuse_duplicates)]
Fraction = Annotated[float, BeforeValidator(refuse_boolean), Field(ge=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(refuse_boolean), Field(ge=0, le=1, allow_inf_nan=False)]
ProperFraction = Annotated[float, BeforeValidator(refuse_boolean), Field(gt=0, lt=1, allow_inf_nan=False)]
Seed = Annotated[int, BeforeValidator(refuse_boolean), Field(ge=0, le=LARGEST)]
Positive = Annotated[float, BeforeValidator(refuse_boolean), Field(gt=0, allow_inf_nan=False)]
# Limits, which an empty value on the command line takes back.
Limit = Annotated[Positive | None, BeforeValidator(_read_empty_as_none)]
RatioLimit = Annotated[
    Annotated[float, BeforeValidator(refuse_boolean), Field(gt=1, allow_inf_nan=False)] | None,
    BeforeValidator(_read_empty_as_none),
]
Moment = Annotated[str, OneOf(("after", "before"))]
VarianceFloor = Annotated[list[Positive], Field(min_length=1)] | None
Tolerance = Annotated[float, BeforeValidator(refuse_boolean), Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, BeforeValidator(refuse_boolean), Field(ge=0, allow_inf_nan=False)]
# Names of components by their ids, which are numbers.
ComponentNames = dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], Text]
# Secret, because passwords are given as options: a configuration that is written out shows asterisks.
Options = dict[Text, Annotated[SecretStr, BeforeValidator(_write_as_text)]]
