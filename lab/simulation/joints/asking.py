"""What the world asks of a process, and has it do."""

from __future__ import annotations

from authz_sidecar.core import fields
from authz_sidecar.core.entities import Entity, EntityKey, Kind, Position
from authz_sidecar.core.verdicts import Decision, RequestHead
from authz_sidecar.pipeline import Undecided
from lab.simulation.joints.byte_path import BytePath
from lab.simulation.joints.parts import Parts
from lab.simulation.joints.rules import compiled


def position(parts: Parts) -> Position | None:
    """Where this process stands."""
    return parts.near.position


def held(parts: Parts) -> dict[EntityKey, Entity]:
    """What this process decides by now."""
    near = parts.near
    kinds: tuple[Kind, ...] = ("user", "group")
    keys = [EntityKey(kind, str(number)) for kind in kinds for number in range(1, 100)]
    return {key: entity for key in keys if (entity := near.entity(key)) is not None}


def put_into_force(parts: Parts, byte_path: BytePath | None, rules: int) -> None:
    """As `app.py` does with a policy that was read anew."""
    parts.pipeline.policy = compiled(rules)
    if byte_path is not None:
        byte_path.server.reconsider(None)


def request(method: str, path: str, token: bytes | None, min_revision: str | None) -> RequestHead:
    """A request as it comes out of the parser."""
    received = [(b"Host", b"students.test")]
    if token is not None:
        received.append((b"Authorization", b"Bearer " + token))
    if min_revision is not None:
        received.append((b"Authz-Min-Revision", min_revision.encode()))
    return RequestHead(method, path.encode(), fields.of_request(received), "192.0.2.1")


def decide(parts: Parts, head: RequestHead, request_id: str) -> Decision | Undecided:
    return parts.pipeline.decide(head, request_id)


def reconsider(parts: Parts, decision: Decision) -> Decision | Undecided:
    """As the byte path does with what is under way when permissions change."""
    return parts.pipeline.reconsider(decision, request(decision.method, decision.target, None, None))
