"""The relay, with a real broker: everything arrives, in order, whatever is killed."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event

import pika
import pytest
from django.db import connection, transaction

from accounts.models import User
from authz_changelog import clock
from authz_changelog.models import Cursor, Mark, Revision
from authz_changelog.publishing import broker, relay
from authz_changelog.revisions import audit
from authz_changelog.revisions.epochs import new_epoch
from authz_changelog.revisions.sequencer import sequence
from lab import DEADLINE
from lab.stack.process import Process, free_port, wait_for
from lab.stack.servers import RabbitMQ

EXCHANGE = "authz.changes"
MANAGE = Path(__file__).parents[3] / "user_service" / "manage.py"

StartRelay = Callable[..., AbstractContextManager[Process]]


class Listener:
    """A queue that survives a restart of the broker, and everything that came into it."""

    def __init__(self, url: str, queue: str) -> None:
        self._url, self._queue = url, queue
        self.messages: list[dict] = []
        with self._channel() as channel:
            channel.exchange_declare(EXCHANGE, exchange_type="fanout", durable=True)
            channel.queue_declare(queue, durable=True)
            channel.queue_bind(queue, EXCHANGE)

    def until(self, condition: Callable[[list[dict]], object], what: str) -> list[dict]:
        wait_for(lambda: self._read() or condition(self.messages), DEADLINE, what)
        return self.messages

    def until_revision(self, revision: int) -> list[int]:
        """The revisions that came, duplicates included, once `revision` is among them."""
        self.until(lambda all_: revision in revisions(all_), f"revision {revision}")
        return revisions(self.messages)

    def close(self) -> None:
        with self._channel() as channel:
            channel.queue_delete(self._queue)

    def _read(self) -> None:
        with self._channel() as channel:
            while (delivery := channel.basic_get(self._queue, auto_ack=True))[0]:
                assert delivery[1].content_type == "application/json"
                self.messages.append(json.loads(delivery[2]))

    @contextmanager
    def _channel(self) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as opened:
            yield opened.channel()


def revisions(messages: list[dict]) -> list[int]:
    return [message["revision"] for message in messages if message["type"] == "change"]


def heartbeats(messages: list[dict]) -> list[dict]:
    return [message for message in messages if message["type"] == "heartbeat"]


@pytest.fixture
def listener(rabbitmq: RabbitMQ, database: str) -> Iterator[Listener]:
    logging.getLogger("pika").setLevel(logging.WARNING)
    opened = Listener(rabbitmq.url, "test")
    yield opened
    opened.close()


@pytest.fixture
def start_relay(rabbitmq: RabbitMQ, database: str, tmp_path: Path) -> StartRelay:
    @contextmanager
    def start(*, with_broker: bool = True) -> Iterator[Process]:
        process = Process(
            [sys.executable, MANAGE, "relay"],
            env={"DATABASE_URL": database, "AUTHZ_AMQP_URL": rabbitmq.url if with_broker else ""}
            | {"AUTHZ_AUDIT_SECONDS": "2"},
            log_path=tmp_path / "relay.log",
        )
        process.start()
        try:
            yield process
        finally:
            process.stop()

    return start


def create(count: int) -> int:
    """So many users, one revision each; the last revision."""
    start = User.objects.count()
    for number in range(start, start + count):
        User.objects.create(username=f"user{number}")
    return sequence().revision


def test_revisions_are_published_in_order_and_written_as_the_feed_has_them(
    listener: Listener, start_relay: StartRelay
) -> None:
    last = create(5)
    with start_relay():
        assert listener.until_revision(last) == list(range(1, last + 1))
        with connection.cursor() as cursor:  # behind Django's back
            cursor.execute("UPDATE accounts_user SET is_active = NOT is_active")
        published = listener.until_revision(last + 1)
    assert published == list(range(1, last + 2))
    change = next(message for message in listener.messages if message["revision"] == last + 1)
    assert change["entities"] == json.loads(Revision.objects.get(pk=last + 1).entities)


def lose_a_change() -> None:
    """Deactivate everybody; nothing tells the log."""
    with transaction.atomic():
        User.objects.update(is_active=False)
        Mark.objects.all().delete()
        connection.run_on_commit.clear()


def test_what_the_log_has_missed_is_published_and_heartbeats_tell_the_audit(
    listener: Listener, start_relay: StartRelay
) -> None:
    last = create(1)
    with start_relay():
        listener.until(lambda all_: heartbeats(all_) and heartbeats(all_)[-1]["audited_at"], "an audit")
        lose_a_change()
        listener.until_revision(last + 1)
        mended = heartbeats(listener.messages)[-1]["audited_at"]
        listener.until(lambda all_: heartbeats(all_)[-1]["audited_at"] > mended, "a later audit")
    change = next(message for message in listener.messages if message["revision"] == last + 1)
    assert change["entities"][0]["state"]["active"] is False


def test_without_a_broker_the_relay_audits(database: str, start_relay: StartRelay) -> None:
    create(1)
    with start_relay(with_broker=False) as process:
        wait_for(lambda: audit.audited_at(clock.now()), DEADLINE, "an audit")
        lose_a_change()
        wait_for(Mark.objects.exists, DEADLINE, "a mark of what was lost")
    assert process.exit_code == 0
    head = sequence()
    assert json.loads(Revision.objects.get(pk=head.revision).entities)[0]["state"]["active"] is False


def test_a_heartbeat_names_the_head(listener: Listener, start_relay: StartRelay) -> None:
    last = create(1)
    with start_relay():
        listener.until(lambda all_: len(heartbeats(all_)) >= 2, "two heartbeats")
    assert {beat["revision"] for beat in heartbeats(listener.messages)} == {last}
    assert revisions(listener.messages)[-1] == last, "the change comes before the heartbeat that names it"


def test_a_killed_relay_goes_on_without_skipping(listener: Listener, start_relay: StartRelay) -> None:
    with start_relay() as relay:
        listener.until_revision(create(1))
        create(20)
        relay.kill()
    last = create(5)
    with start_relay():
        published = listener.until_revision(last)
    assert list(dict.fromkeys(published)) == list(range(1, last + 1))


def test_two_relays_do_no_harm(listener: Listener, start_relay: StartRelay) -> None:
    with start_relay(), start_relay():
        last = create(20)
        listener.until_revision(last)
        listener.until(lambda all_: len(heartbeats(all_)) >= 2, "heartbeats")
    firsts = list(dict.fromkeys(revisions(listener.messages)))
    assert firsts == list(range(1, last + 1))
    assert Cursor.objects.get().revision == last


def test_a_broker_that_was_down_is_told_everything(
    listener: Listener, start_relay: StartRelay, rabbitmq: RabbitMQ
) -> None:
    with start_relay() as relay:
        listener.until_revision(create(1))
        rabbitmq.stop()
        last = create(3)
        wait_for(lambda: "Interrupted" in relay.log_path.read_text(), DEADLINE, "the relay notices")
        rabbitmq.start()
        published = listener.until_revision(last)
        relay.stop()
        assert relay.exit_code == 0
        assert rabbitmq.password not in relay.log_path.read_text()
    assert sorted(set(published)) == list(range(1, last + 1))


class Stopping(Event):
    """Nobody waits: the seconds asked for are written down, and after so many times it is set."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) == self._times:
            self.set()
        return self.is_set()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_broker_that_is_away_is_looked_for_soon_and_ever_more_rarely(database: str) -> None:
    stopping = Stopping(times=10)
    relay.run(broker.parameters(f"amqp://guest:guest@127.0.0.1:{free_port()}/"), stopping)
    assert stopping.pauses[0] == 0.1
    assert stopping.pauses == sorted(stopping.pauses)
    assert max(stopping.pauses) == 2.0


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_lost_database_connection_is_opened_again(listener: Listener, start_relay: StartRelay) -> None:
    with start_relay():
        listener.until_revision(create(1))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        last = create(1)
        assert last in listener.until_revision(last)


def test_a_heartbeat_names_the_time_of_its_revision(listener: Listener, start_relay: StartRelay) -> None:
    last = create(2)
    with start_relay():
        listener.until(lambda all_: any(beat["revision"] == last for beat in heartbeats(all_)), "a heartbeat")
    assert {beat["revision_at"] for beat in heartbeats(listener.messages)} == {
        message["at"]
        for message in listener.messages
        if message["type"] == "change" and message["revision"] == last
    }


def test_a_new_epoch_is_told_by_the_next_heartbeat(listener: Listener, start_relay: StartRelay) -> None:
    with start_relay():
        last = create(2)
        listener.until_revision(last)
        epoch = str(new_epoch().epoch)
        listener.until(lambda all_: any(beat["epoch"] == epoch for beat in heartbeats(all_)), "the new epoch")
        following = create(1)
        listener.until_revision(following)
    assert following == last + 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://me:hunter2@host", "not of the form"),
        ("amqp://me:hunter2@:5672/", "not of the form"),
        ("amqp://me:hunter2@host:port/", "not of the form"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_its_password_kept(url: str, says: str) -> None:
    ended = subprocess.run(
        [sys.executable, MANAGE, "relay"],
        env={"AUTHZ_AMQP_URL": url, "DATABASE_URL": "sqlite:///:memory:"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "AUTHZ_CHANGELOG['AMQP_URL']" in ended.stderr
    assert says in ended.stderr
    assert "hunter2" not in ended.stdout + ended.stderr
