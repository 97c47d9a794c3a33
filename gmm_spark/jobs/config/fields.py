"""The types of single configuration values: each says in one place what it takes and how it is checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

CovarianceType = Literal["full", "tied", "diag", "spherical"]
Criterion = Literal["bic", "aic", "icl", "heldout"]
InitMode = Literal["k-means++", "k-means||", "kmeans", "random", "random_from_data"]
HandleInvalid = Literal["error", "skip", "keep"]
Precision = Literal["float64", "float32"]
WriteMode = Literal["error", "overwrite", "append"]

Value = TypeVar("Value", bound="str | int")

LARGEST_SEED = 2**63 - 1  # Spark's seeds are Java longs


def _refuse_boolean(value: Any) -> Any:
    """Python counts ``True`` as 1; a configuration that says ``k = true`` has a fault."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "Input should be a number, not a boolean")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _option_text(value: Any) -> Any:
    """Spark's options are text: ``header = true`` in TOML is Spark's ``"true"``."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _refuse_duplicates(values: list[Value]) -> list[Value]:
    twice = [str(value) for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise PydanticCustomError(
            "duplicates",
            "Input should be distinct values; {twice} given more than once",
            {"twice": ", ".join(twice)},
        )
    return values


Text = Annotated[str, Field(min_length=1)]
# An empty value on the command line takes back what a file has set.
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
Columns = Annotated[list[Text], Field(min_length=1), AfterValidator(_refuse_duplicates)]
Count = Annotated[int, BeforeValidator(_refuse_boolean), Field(ge=1)]
CountOrZero = Annotated[int, BeforeValidator(_refuse_boolean), Field(ge=0)]
Counts = Annotated[list[Count], Field(min_length=1), AfterValidator(_refuse_duplicates)]
CovarianceTypes = Annotated[list[CovarianceType], Field(min_length=1), AfterValidator(_refuse_duplicates)]
Fraction = Annotated[float, BeforeValidator(_refuse_boolean), Field(ge=0, lt=1, allow_inf_nan=False)]
ProperFraction = Annotated[float, BeforeValidator(_refuse_boolean), Field(gt=0, lt=1, allow_inf_nan=False)]
Seed = Annotated[int, BeforeValidator(_refuse_boolean), Field(ge=0, le=LARGEST_SEED)]
Tolerance = Annotated[float, BeforeValidator(_refuse_boolean), Field(ge=0, allow_inf_nan=False)]
# Secret, since a password is an option like any other: shown as asterisks wherever a configuration is written out.
Options = dict[Text, Annotated[SecretStr, BeforeValidator(_option_text)]]
