"""What the parts of the sidecar ask of each other and tell each other.

Observers are called synchronously in the event loop; they must return at once and never raise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from authz_sidecar.core.entities import Position
from authz_sidecar.core.phases import Phase
from authz_sidecar.core.verdicts import Answered, Decision, Failure, Identity, Question, Verdict

Pending = Callable[[], Awaitable[Verdict | None]]
"""I/O that a decision waits for. It ends in a verdict, or in `None`: decide again from the beginning."""


class Authenticator(Protocol):
    """Turns a bearer token into an identity."""

    def authenticate(self, token: bytes, now: float) -> Identity | Pending:
        """`now` in Unix seconds. Raises `Refused` when the token is not acceptable."""


class Authorizer(Protocol):
    """Answers whether an identity meets a requirement."""

    def authorize(self, question: Question, now: float) -> Verdict | Pending:
        """`now` in seconds of the monotonic clock. Never blocks, never guesses."""


class Clock(Protocol):
    """The only source of time; tests pass one they can turn."""

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...


class RequestObserver(Protocol):
    """Hooks of the request path: the core knows no metrics and no logs."""

    def decided(self, decision: Decision, seconds: float) -> bool:
        """A decision was reached after `seconds`, waiting included. Returns `Answered.told`."""

    def failed(self, failure: Failure) -> None:
        """The byte path ended a request by itself."""

    def retried(self, request_id: str) -> None:
        """A request is decided again and sent once more: a kept connection ended without an answer."""

    def answered(self, answered: Answered) -> None:
        """A request has ended."""


Dependency = Literal["user_service", "store", "broker"]


class ReplicaObserver(Protocol):
    """Hooks. Pass `SilentObserver()` where nobody listens."""

    def applied(self, position: Position, propagation: float | None) -> None:
        """A revision holds here now; `propagation`: seconds from its mark to this moment, on wall clocks.

        `None` while the replica starts: what was marked before this process lived measures nothing.
        """

    def duplicate(self) -> None:
        """A revision arrived that is already applied."""

    def gap(self) -> None:
        """Revisions are missing; the change feed is asked for them."""

    def resync(self, cause: str) -> None:
        """The feed could not continue from our position, so another one is taken."""

    def rejected(self, reason: str) -> None:
        """A message was malformed and is treated as a gap."""

    def foreign_epoch(self) -> None:
        """A message of another history was ignored."""

    def drift(self, entities: int) -> None:
        """The store differed from the User service in this many entities and was repaired."""

    def silence(self) -> None:
        """A subscription brought nothing though the broker is there, and is made anew."""

    def dependency(self, name: Dependency, up: bool) -> None:
        """A dependency was lost or is back; called on changes only."""


class SilentObserver:
    """Hears everything, does nothing."""

    def applied(self, position: Position, propagation: float | None) -> None: ...
    def duplicate(self) -> None: ...
    def gap(self) -> None: ...
    def resync(self, cause: str) -> None: ...
    def rejected(self, reason: str) -> None: ...
    def foreign_epoch(self) -> None: ...
    def drift(self, entities: int) -> None: ...
    def silence(self) -> None: ...
    def dependency(self, name: Dependency, up: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """The signing keys at one instant."""

    kids: tuple[str, ...]
    """Those that tokens are verified with now."""
    age: float | None
    """Seconds since the newest set was asked for that was good; `None` before the first."""
    failure: str | None
    """Why the latest attempt to fetch them failed; `None` when it did not."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"kids": list(self.kids), "age": self.age, "failure": self.failure}


class Seen(NamedTuple):
    """A dependency, as it was last seen."""

    up: bool
    seconds: float
    """How long it has been so."""
    reason: str
    """Why it is not up."""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """The replica at one instant. `staleness` in seconds; `None` without a valid proof of freshness."""

    phase: Phase
    was_live: bool
    """Whether it has been LIVE since this process started."""
    applied: Position | None
    head: int | None
    staleness: float | None
    fresh: bool
    """Whether decisions are possible now: a proof exists, and it and the audit are within their bounds."""
    store: Position | None
    """Where the store was last seen to be; `None` while it is not usable."""
    source: Literal["broker", "feed"]
    """Where changes come from now."""
    audit_age: float | None = None
    """Seconds since all of the User service's log had been compared with its tables; `None`: not known."""
    silent_subscription: bool = False
    """Whether the broker is there and brings nothing, so that the subscription is made anew."""
    near_cache_entries: int = 0
    dependencies: Mapping[Dependency, bool] = field(default_factory=lambda: MappingProxyType({}))
    """Up or down; absent when never tried or not configured."""
    seen: Mapping[Dependency, Seen] = field(default_factory=lambda: MappingProxyType({}))
    """More of the same."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        position = self.applied
        return {
            "phase": self.phase.value,
            "was_live": self.was_live,
            "fresh": self.fresh,
            "epoch": position.epoch if position else None,
            "applied": position.revision if position else None,
            "head": self.head,
            "staleness": self.staleness,
            "audit_age": self.audit_age,
            "store": self.store.revision if self.store else None,
            "source": self.source,
            "silent_subscription": self.silent_subscription,
            "near_cache_entries": self.near_cache_entries,
            "dependencies": dict(self.dependencies),
            "dependency_seconds": {name: seen.seconds for name, seen in self.seen.items()},
            "dependency_failures": {name: seen.reason for name, seen in self.seen.items() if not seen.up},
        }
