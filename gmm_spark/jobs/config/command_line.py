"""TOML files and flags, read into one checked configuration.

Every field of a configuration model is a flag: ``--section.key value``. The parser takes values as text and checks
nothing, because argparse stops at the first fault. The model checks them, so that one message reports every fault, in
files and flags alike.
"""

from __future__ import annotations

import difflib
import sys
import types
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Annotated, Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.config.fields import Count, OneOf
from gmm_spark.jobs.config.files import read_file
from gmm_spark.jobs.config.jobs import JobConfiguration
from gmm_spark.jobs.config.secrets import redact
from gmm_spark.jobs.config.sections import Section
from gmm_spark.jobs.exits import ExitCode
from gmm_spark.storage.documents import shorten

Configuration = TypeVar("Configuration", bound=JobConfiguration)

SECRET_KEYS = ("input.options", "run.spark")
ALIASES = {"run.id": "--run-id", "run.dry_run": "--dry-run", "run.verbose": "--verbose"}  # flags with a second name
# A message has fewer than twenty lines, and fits a screen.
SHOWN_FAULTS, SHOWN_SIGNS, FAULT_SIGNS = 17, 3_400, 400
NO_VALUE = "\0no value"  # marks a flag that was given without a value; no shell can pass this text


class Key(NamedTuple):
    """One field of a configuration, under its dotted name."""

    name: str
    field: FieldInfo
    type: Any  # the annotation without Annotated, None and item types: list, dict, bool, str, ...


def load(model: type[Configuration], arguments: Sequence[str] | None = None) -> Configuration:
    """Read a job's configuration.

    Parameters
    ----------
    model : type
        The job's configuration model.
    arguments : sequence of str, optional
        The command line, by default that of the process. ``--help`` prints every key and exits.

    Returns
    -------
    JobConfiguration
        Values of files in the order of their ``--config`` flags: later files override earlier ones, and flags
        override files.

    Raises
    ------
    ConfigurationError
        Lists the faults, one per line: ``key: what it got, what it needs``. Of very many, the first.
    """
    keys = {key.name: key for key in list_keys(model)}
    given, strays = _build_parser(model, keys.values()).parse_known_args(arguments)
    files, file_faults = _read_files(given.config or ())
    flags, flag_faults = _nest_flags(given, keys)
    # Begin with every section, empty: pydantic then reports what a section lacks key by key.
    values: dict[str, Any] = {name: {} for name, field in model.model_fields.items() if _is_section(field)}
    for over in (*files, flags):
        _merge(values, over)
    faults = [*_describe_strays(strays, keys), *file_faults, *flag_faults]
    try:
        configuration = model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A missing key may stand in a file that could not be read.
        known = [one for one in found if not (file_faults and one["type"] in ("missing", "none_given"))]
        faults += [_describe(one, keys) for one in known]
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = "\n  ".join(_list_briefly(faults))
        raise ConfigurationError(f"{count} in the configuration of {model.job}:\n  {lines}")
    return configuration


def name_path(arguments: Sequence[str] | None, model: type[JobConfiguration]) -> list[str]:
    """Return a command line of which the first words, as long as they are no flags, are values of leading keys."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    named: list[str] = []
    for key in model.leading:
        if not given or given[0].startswith("-"):
            break
        named += [f"--{key}", given.pop(0)]
    return [*named, *given]


def _list_briefly(faults: Sequence[str]) -> list[str]:
    """Return the first faults, each in one line, and how many there are besides."""
    lines: list[str] = []
    for fault in faults[:SHOWN_FAULTS]:
        # Shorten after secrets are struck out: half a URL no longer looks like one.
        line = shorten(redact(fault, ()), FAULT_SIGNS)
        if sum(map(len, lines)) + len(line) > SHOWN_SIGNS:
            break
        lines.append(line)
    if more := len(faults) - len(lines):
        lines.append(f"and {more} more")
    return lines


def _read_files(paths: Iterable[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the contents of the TOML files that can be read, and a fault for each that cannot."""
    contents, faults = [], []
    for path in paths:
        try:
            contents.append(read_file(path))
        except ValueError as error:
            faults.append(f"--config {shorten(path, 200)}: {error}; needs a readable TOML file")
    return contents, faults


def list_keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """List the fields of a configuration, those of its sections under dotted names."""
    for name, field in model.model_fields.items():
        if _is_section(field):
            yield from list_keys(cast(type[Section], field.annotation), f"{prefix}{name}.")
        else:
            yield Key(prefix + name, field, _strip(field.annotation))


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _strip(annotation: Any) -> Any:
    """Reduce ``Annotated[list[str], ...] | None`` to ``list``, which decides how a flag takes its values."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _strip(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _strip(next(part for part in get_args(annotation) if part is not type(None)))
    return origin or annotation


def _build_parser(model: type[JobConfiguration], keys: Iterable[Key]) -> ArgumentParser:
    leading = "".join(f"{key.upper()} " for key in model.leading)
    parser = ArgumentParser(
        usage=f"%(prog)s {leading}[--config FILE] [--section.key VALUE ...]",
        description=cleandoc(model.__doc__ or ""),
        epilog="Every key can be set in a TOML file and on the command line; the command line overrides files.\n"
        "Separate the items of a list by blanks: --features.columns x y z\n\n"
        f"exit codes: {ExitCode.legend()}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", action="extend", nargs="*", metavar="FILE", help="TOML file; may be repeated.")
    groups: dict[str, Any] = {"": parser}
    for key in keys:
        section = key.name.rpartition(".")[0]
        if section not in groups:
            groups[section] = parser.add_argument_group(f"[{section}]")
        one = {"nargs": "?", "const": "true" if key.type is bool else NO_VALUE}
        takes = {"nargs": "*"} if key.type in (list, dict) else one
        help_ = _describe_key(key).replace("%", "%%")
        flags = [f"--{key.name}", *([ALIASES[key.name]] if key.name in ALIASES else [])]
        groups[section].add_argument(*flags, dest=key.name, metavar=_name_value(key), help=help_, **takes)
    return parser


def _name_value(key: Key) -> str:
    """Return what stands for a key's value in the help."""
    for choice in key.field.metadata:
        if isinstance(choice, OneOf):
            return "{" + ",".join(choice.names) + "}"
    if key.field.annotation in (list[Count], list[bool]):
        return "INTEGER" if key.field.annotation == list[Count] else "true|false"
    return {list: "NAME", dict: "KEY=VALUE", bool: "true|false", int: "INTEGER", float: "NUMBER"}.get(key.type, "TEXT")


def _describe_key(key: Key) -> str:
    """Return a key's line of the help: what it means, and its default."""
    if key.field.is_required():
        return f"{key.field.description} (required)"
    default = key.field.default
    shown = " ".join(map(_spell, default)) if isinstance(default, list) else default
    return f"{key.field.description} (default: {'none' if shown in (None, '', {}) else shown})"


def _spell(value: Any) -> str:
    """Return an item of a list as the command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nest_flags(given: Namespace, keys: Mapping[str, Key]) -> tuple[dict[str, Any], list[str]]:
    """Return the given flags, nested as in a TOML file, and a fault for each that lacks its value."""
    values: dict[str, Any] = {}
    faults = []
    for name, key in keys.items():
        value = vars(given)[name]
        if value is None:
            continue
        if value == NO_VALUE:
            faults.append(f"{name}: got no value, needs one: --{name} {_name_value(key)}")
            continue
        if key.type is dict:
            if malformed := sum("=" not in pair for pair in value):
                # Do not repeat the text: it may be half of a password.
                faults.append(f"{name}: got {malformed} without '=', needs key=value")
            value = dict(pair.split("=", 1) for pair in value if "=" in pair)
        *sections, last = name.split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = value
    return values, faults


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay one nested mapping over another: mappings are merged, all else is replaced."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _describe_strays(strays: Sequence[str], keys: Mapping[str, Key]) -> list[str]:
    """Return a fault for each unknown flag and stray word. Values after a flag are left out: they may be secrets."""
    faults = []
    after_flag = False
    for stray in strays:
        if stray.startswith("--"):
            name = shorten(stray[2:].partition("=")[0])
            faults.append(f"--{name}: unknown flag{_suggest(name, keys, dashes='--')}")
            after_flag = True
        elif stray.startswith("-"):
            faults.append(f"{stray[:2]}: unknown flag{_suggest(stray[1:2], keys, dashes='--')}")
            after_flag = True
        elif not after_flag:
            faults.append(f"{stray!r}: got a word without a flag, needs --section.key before it")
    return faults


def _suggest(name: str, keys: Mapping[str, Key], dashes: str = "") -> str:
    """Return the end of a message about an unknown name: the key that was probably meant."""
    for secret in SECRET_KEYS:
        if name.startswith(f"{secret}.") and secret in keys:
            return f"; write --{secret} {name.removeprefix(secret + '.')}=VALUE"
    near = difflib.get_close_matches(name, keys, n=1)
    # `k` means `model.k`, which difflib does not find: the two have too few letters in common.
    near = near or [key for key in keys if key.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    return f"; did you mean {dashes}{near[0]}?" if near else "; --help lists every key"


def _describe(details: ErrorDetails, keys: Mapping[str, Key]) -> str:
    """Put one of pydantic's errors in a line: key, what it got, what it needs."""
    name = ".".join(shorten(str(part)) for part in details["loc"])
    kind, message = details["type"], details["msg"]
    if kind == "extra_forbidden":
        return f"{name}: unknown key{_suggest(name, keys)}"
    if kind == "missing":
        description = keys[name].field.description or ""
        return f"{name}: missing, needs {description[0].lower()}{description[1:].partition('.')[0]}"
    if kind == "model_type":
        return f"{name}: got {_show(details['input'], texts=False)}, needs a section: [{name}]"
    if not message.startswith("Input should "):
        return f"{name}: {message[0].lower()}{message[1:]}"
    got = "a value that is not shown" if name.startswith(SECRET_KEYS) else _show(details["input"])
    return f"{name}: got {got}, needs to {message.removeprefix('Input should ')}"


def _show(value: Any, texts: bool = True) -> str:
    """Return a value as a message may repeat it: tables by their kind alone, since a table may hold passwords."""
    parts = value if isinstance(value, list) else [value]
    hidden = (dict, list) if texts else (dict, list, str)
    if any(isinstance(part, hidden) for part in parts):
        return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else "a text"
    try:
        return shorten(repr(value))
    except ValueError:  # Python refuses to write integers of thousands of digits
        return "a very large number"
