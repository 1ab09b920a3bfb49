"""What a configuration can be doubted for although the sidecar would start with it.

A mistake that makes a start impossible is a `Problem`. A finding is for the operator to judge: `check` fails
for it unless it is accepted, `run` warns of those that are about settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from authz_sidecar.config.addresses import Address
from authz_sidecar.config.issuer import Issuer
from authz_sidecar.config.table import TABLE, Settings


class Kind(StrEnum):
    """The stable names of findings, as `check --accept` takes them."""

    UNKNOWN_VARIABLE = "unknown_variable"
    CLEAR_TEXT = "clear_text"
    DEAD_RULE = "dead_rule"
    SHADOWED_RULE = "shadowed_rule"
    UNTESTED_RULE = "untested_rule"
    FAILED_TEST = "failed_test"
    UNKNOWN_PERMISSION = "unknown_permission"
    USER_SERVICE = "user_service"
    KEYS = "keys"
    USER_FIELD = "user_field"
    REFUSED_OPERATION = "refused_operation"
    OPENAPI = "openapi"


@dataclass(frozen=True, slots=True)
class Finding:
    """Where it is, what is doubtful, how to mend it."""

    kind: Kind
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.kind}]"


_READ: Final = frozenset(
    {each.variable for each in TABLE} | {f"{each.variable}_FILE" for each in TABLE if each.secret}
)
_OURS: Final = re.compile(r"A(?:UTHZ|UHTZ|TUHZ|UTZH)_\w+", re.IGNORECASE)
_OF_KUBERNETES: Final = re.compile(
    r"\w+_SERVICE_(?:HOST|PORT(?:_\w+)?)|\w+_PORT(?:_\d+_(?:TCP|UDP|SCTP)\w*)?"
)
"""It tells every container of each Service, and one may be called `authz`."""


def of_environment(variables: Iterable[str]) -> list[Finding]:
    """Variables that are named like settings and that nobody reads: most are misspelt."""
    return [
        Finding(Kind.UNKNOWN_VARIABLE, name, f"is no setting and is not read{_meant(name)}")
        for name in sorted(variables)
        if _OURS.fullmatch(name) and name not in _READ and not _OF_KUBERNETES.fullmatch(name)
    ]


def _meant(name: str) -> str:
    upper = name.upper()
    without_file = upper.removesuffix("_FILE")
    if without_file in _READ:
        return f"; did you mean {without_file}?"
    close = get_close_matches(upper, _READ, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""


def of_settings(settings: Settings, issuers: Iterable[Issuer]) -> list[Finding]:
    """What is set so that others could read or forge it on the way."""
    return list(_clear_text(settings, issuers))


def _clear_text(settings: Settings, issuers: Iterable[Issuer]) -> Iterator[Finding]:
    base = settings.user_service.url
    if _is_remote_and_plain(base):
        message = "sends the service token and the permissions in clear text: use https://"
        yield Finding(Kind.CLEAR_TEXT, "AUTHZ_USER_SERVICE", message)
    place = "AUTHZ_JWKS_URL" if settings.jwt.issuers_path is None else "AUTHZ_ISSUERS_FILE"
    for keys in sorted(each.keys_place for each in issuers):
        if _is_remote_and_plain(keys) and not keys.startswith(f"{base}/"):
            message = "fetches in clear text the keys that tokens are verified with: use https://"
            yield Finding(Kind.CLEAR_TEXT, place, message)


def _is_remote_and_plain(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not Address(parts.hostname or "", 0).is_loopback
