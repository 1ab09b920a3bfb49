"""Every error of the sidecar. Foreign exceptions become one of these where they enter.

AuthzError
├── ConfigurationError     settings or policy: carries every problem found
├── Refused                this request is answered by the sidecar, with this code
├── MalformedMessage       a change, snapshot, key set or answer that breaks the wire contract
├── Unavailable            a dependency did not answer in time, or answered that it cannot
│   └── StoreUnavailable   the replica store
├── HistoryGone            the change feed cannot continue from here (410): take a snapshot
└── UpstreamError          the protected service failed
    ├── UpstreamUnreachable
    └── UpstreamTimeout
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authz_sidecar.core.verdicts import Code


class AuthzError(Exception):
    """Base of all errors of the sidecar."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One configuration mistake: where it is, what is wrong, how to mend it."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ConfigurationError(AuthzError):
    """All problems of the configuration at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Refused(AuthzError):
    """The request is refused with `code`; `detail` is shown to the client and holds no secrets."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class MalformedMessage(AuthzError):
    """Input that breaks the wire contract; the message names the field."""


class Unavailable(AuthzError):
    """A dependency cannot answer now."""


class StoreUnavailable(Unavailable):
    """The replica store cannot answer now."""


class HistoryGone(AuthzError):
    """The change feed does not hold what comes after our position."""


class UpstreamError(AuthzError):
    """The protected service gave no usable answer."""


class UpstreamUnreachable(UpstreamError):
    """No connection to the protected service."""


class UpstreamTimeout(UpstreamError):
    """The protected service did not answer in time."""
