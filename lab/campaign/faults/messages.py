"""Messages that come twice, late, out of order, unreadable, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import pika
import psycopg

from lab.campaign.faults.processes import frozen
from lab.campaign.system import System

EXCHANGE = "authz.changes"
PADDING = "x" * 200_000
POISON = (
    b"",
    b"\xff\xfe",
    b"{",
    b"null",
    b'{"v":2,"type":"change"}',
    b'{"v":1,"type":"change","epoch":7,"revision":-1,"at":null,"entities":{}}',
    b'{"v":1,"type":"heartbeat","epoch":"00000000-0000-0000-0000-000000000000","revision":1,"at":"now"}',
)


@contextmanager
def replayed(system: System, random: Random) -> Iterator[str]:
    """Old changes and heartbeats are delivered again, out of order, from ended histories too."""
    changes = list(system.archiver.recent)
    old = random.sample(changes, min(len(changes), 100))
    old += [_heartbeat(change) for change in random.sample(changes, min(len(changes), 20))]
    random.shuffle(old)
    _publish(system, [text.encode() for text in old])
    yield f"{len(old)} old messages"


@contextmanager
def poisoned(system: System, random: Random) -> Iterator[str]:
    _publish(system, random.sample(POISON, len(POISON)))
    yield f"{len(POISON)} unreadable messages"


@contextmanager
def overflowed(system: System, random: Random) -> Iterator[str]:
    """A sidecar sleeps while more is published than its queue may hold: the broker drops the oldest."""
    name = random.choice(list(system.sidecars))
    system.rabbitmq.limit_queues(r"^authz\.sidecar\.", 5)
    try:
        with frozen(system.sidecars[name]):
            # First what fills the buffers between broker and sidecar, so that the rest stays in the queue.
            _publish(system, [_padded(change) for change in list(system.archiver.recent)[:40]])
            _burst(system, random)
            yield name
    finally:
        system.rabbitmq.limit_queues(r"^authz\.sidecar\.", None)


def _burst(system: System, random: Random) -> None:
    """Revisions, as fast as they can be made."""
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        for _ in range(40):
            connection.execute(
                "UPDATE accounts_user SET is_active = NOT is_active WHERE id = %s",
                [random.choice(system.population.users)],
            )
            time.sleep(0.03)


@contextmanager
def relayed_twice(system: System, random: Random) -> Iterator[str]:
    with system.make_second_relay():
        yield "two relays"


@contextmanager
def exchange_remade(system: System, random: Random) -> Iterator[str]:
    """The exchange is deleted, and every queue loses its binding; the relay declares it anew."""
    with pika.BlockingConnection(pika.URLParameters(system.rabbitmq.url)) as connection:
        connection.channel().exchange_delete(EXCHANGE)
    yield EXCHANGE


def _publish(system: System, bodies: Sequence[bytes]) -> None:
    with pika.BlockingConnection(pika.URLParameters(system.rabbitmq.url)) as connection:
        channel = connection.channel()
        for body in bodies:
            channel.basic_publish(EXCHANGE, "", body)


def _heartbeat(change: str) -> str:
    """What the relay said when this change was the newest."""
    message = json.loads(change)
    kept = {key: message[key] for key in ("v", "epoch", "revision", "at")}
    return json.dumps({**kept, "type": "heartbeat", "revision_at": message["at"]})


def _padded(change: str) -> bytes:
    """The same change; unknown fields are ignored."""
    return json.dumps({**json.loads(change), "padding": PADDING}).encode()
