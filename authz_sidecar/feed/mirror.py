"""A worker's copy of the permissions: what the follower says, and nothing that does not follow from it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authz_sidecar.core.entities import Change, EntityKey, Position
from authz_sidecar.core.errors import MalformedMessage
from authz_sidecar.core.naming import Fields
from authz_sidecar.core.proofs import NEVER, Proofs
from authz_sidecar.feed import messages
from authz_sidecar.feed.messages import Message
from authz_sidecar.replica.near_cache import NearCache

NOTHING: Final[frozenset[EntityKey]] = frozenset()


class Mirror:
    """It moves from R to R+1, or to where it is told to stand with nothing in it. No I/O."""

    def __init__(self, near_cache_size: int, max_staleness: float, max_audit_age: float) -> None:
        """Bounds in seconds; an infinite one is none."""
        self.near = NearCache(near_cache_size)
        self.proofs = Proofs(max_staleness, max_audit_age)

    def take(self, message: Message) -> Collection[EntityKey] | None:
        """The entities that have changed; `None`: any may have. Raises MalformedMessage."""
        if message["type"] == "change":
            return self._change(messages.parse_change(message))
        if message["type"] == "proof":
            self._proof(message["proven_at"], message["audited_at"], message.get("losses_proven_at"))
            return NOTHING
        if message["type"] == "stand":
            self._stand(messages.parse_position(message["position"]), messages.parse_fields(message))
            return None
        raise MalformedMessage(f"type: {message['type']} is not known here")

    def _stand(self, position: Position | None, subject_fields: Fields) -> None:
        if position is None:
            raise MalformedMessage("stand: names no position")
        self.near.restart(position, subject_fields)
        self.proofs.restart()

    def _change(self, change: Change) -> Collection[EntityKey]:
        here, there = self.near.position, change.position
        if here is None or (there.epoch, there.revision) != (here.epoch, here.revision + 1):
            raise MalformedMessage(f"change: {there.token} does not follow what is here")
        if None not in (change.previous_at, here.at) and change.previous_at != here.at:
            raise MalformedMessage(f"change: {there.token} is of another branch")
        self.near.apply(change)
        return [entity.key for entity in change.entities]

    def _proof(
        self, proven_at: float | None, audited_at: float | None, losses_proven_at: float | None
    ) -> None:
        """Of everything that was sent before it, which is here."""
        here = self.near.position
        if here is None:
            raise MalformedMessage("proof: there is nothing that it could be of")
        if losses_proven_at is not None:
            self.proofs.prove(here.revision, losses_proven_at, here, whole=False)
        if proven_at is not None:
            self.proofs.prove(
                here.revision, proven_at, here, None, NEVER if audited_at is None else audited_at
            )
