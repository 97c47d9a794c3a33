"""Values that must not be written down: options of data sources and Spark settings may hold passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

# Names of values that must not be shown: Spark's own list, and those that clouds and databases have.
SENSITIVE = "secret|passw|passphrase|pwd|token|(access|account|private|api|encryption)[._-]?key|credential|signature"
# Signatures of Azure, and URLs, which often carry a password.
_SENSITIVE_KEY = re.compile(f"{SENSITIVE}|sas|url", re.IGNORECASE)
# A password may hold @ and /, so it ends with the last @ before a blank or the next URL. What looks like a port does
# not begin a password, and [ begins an IPv6 address.
_PASSWORD = re.compile(r"(?<=://)([^\[/@:\s][^/@:\s]*|):(?!\d{1,5}(?:[/?#;,]|\s|$))(?:(?!://)\S)*@")
# A token in place of user and password. Azure has the name of a container there, which is none.
_TOKEN = re.compile(r"(?<!abfs)(?<!abfss)(?<!wasb)(?<!wasbs)://[^/?#:@\s]+@", re.IGNORECASE)
_ORACLE_PASSWORD = re.compile(r"(?<=jdbc:oracle:)(\w+:[^/@\s]*)/[^@\s]\S*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?<=[?&;])([\w.-]*(?:secret|passw|pwd|token|key|credential|signature|sig)[\w.-]*)=[^&;\s\"']+", re.IGNORECASE
)


def reveal(options: Mapping[str, SecretStr]) -> dict[str, str]:
    """Return options in plain text. Hand them to Spark only."""
    return {key: value.get_secret_value() for key, value in options.items()}


def is_sensitive(key: str) -> bool:
    """Return whether the value of an option or a setting of this name may be a secret."""
    return _SENSITIVE_KEY.search(key) is not None


def find_secrets(configuration: BaseModel) -> list[str]:
    """Return the values of a configuration that no message may repeat, the longest first."""
    found = {value.get_secret_value() for key, value in _list_secrets(configuration) if is_sensitive(key)}
    return sorted(found - {""}, key=len, reverse=True)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in a text that is about to be shown, and every password and token in a URL.

    A password without a user that holds ``/``, and one that begins with a port and ``/``, cannot be told from a path.

    Examples
    --------
    >>> redact("cannot reach jdbc:x?password=hunter2", ["hunter2"])
    'cannot reach jdbc:x?password=[redacted]'
    >>> redact("no such path: s3a://key:word@bucket/table", [])
    'no such path: s3a://key:[redacted]@bucket/table'
    """
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    text = _ORACLE_PASSWORD.sub(r"\1/[redacted]@", _PASSWORD.sub(r"\1:[redacted]@", text))
    return _PARAMETER.sub(r"\1=[redacted]", _TOKEN.sub("://[redacted]@", text))


def redact_values(value: Any) -> Any:
    """Replace passwords in the URLs of a configuration that was written out, at any depth."""
    if isinstance(value, dict):
        return {key: redact_values(part) for key, part in value.items()}
    if isinstance(value, list):
        return [redact_values(part) for part in value]
    return redact(value, ()) if isinstance(value, str) else value


def _list_secrets(value: Any, key: str = "") -> Iterator[tuple[str, SecretStr]]:
    """Yield every secret value within a configuration, with its key."""
    if isinstance(value, SecretStr):
        yield key, value
    elif isinstance(value, (BaseModel, Mapping)):
        for name, part in value.items() if isinstance(value, Mapping) else value:
            yield from _list_secrets(part, name)
