"""A run that is frozen until the database takes its lock away is done again, and nobody fails by it."""

import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from authz_changelog import sql
from authz_changelog.marks import integrity
from authz_changelog.models import Fingerprint, Head, Mark
from authz_changelog.revisions import differences, epochs, proof, sequencer, transactions
from authz_changelog.revisions.errors import GaveWay
from authz_changelog.revisions.reconcile import reconcile
from lab import DEADLINE

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def freeze(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Stand still until the database has ended the session, once."""
    monkeypatch.setattr(transactions, "FROZEN_AFTER", "50ms")
    still = [True]
    with psycopg.connect(database, autocommit=True) as other:

        def until_ended() -> None:
            pid = connection.connection.info.backend_pid
            deadline = time.monotonic() + DEADLINE
            while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
                assert time.monotonic() < deadline, "the database lets it stand still for ever"

        yield lambda: until_ended() if still and still.pop() else None


@pytest.fixture(params=["before it looks", "before it commits"])
def frozen_run(
    request: pytest.FixtureRequest, freeze: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something is marked, and the next run stands still in its middle or at its end."""
    User.objects.create(username="ann")
    User.objects.update(is_active=False)
    Mark.objects.create(kind="user", key=str(User.objects.get().pk))
    if request.param == "before it looks":
        find = differences.find
        monkeypatch.setattr(differences, "find", lambda *keys: (freeze(), find(*keys))[1])
    else:
        together = sql.together

        def together_and_freeze(statements: Sequence[sql.Statement]) -> list[list[sql.Row]]:
            found = together(statements)
            if any(statement.startswith("DELETE") for statement, _ in statements):
                freeze()
            return found

        monkeypatch.setattr(sql, "together", together_and_freeze)


@pytest.mark.usefixtures("frozen_run")
def test_a_run_that_was_frozen_has_given_way() -> None:
    assert sequencer.run() is False
    assert Mark.objects.exists()
    assert sequencer.run() is True
    assert reconcile() == []


@pytest.mark.usefixtures("frozen_run")
def test_an_answer_is_given_all_the_same(sidecar: Client) -> None:
    answer = sidecar.get("/authz/v1/head")
    assert answer.status_code == 200
    assert not Mark.objects.exists()


def test_a_new_epoch_that_was_frozen_has_not_begun(
    freeze: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Head.objects.get().epoch
    begin = epochs.begin_another
    monkeypatch.setattr(epochs, "begin_another", lambda: (begin(), freeze())[0])
    with pytest.raises(GaveWay):
        epochs.new_epoch()
    assert Head.objects.get().epoch == before
    assert epochs.new_epoch().epoch != before


def test_whoever_is_frozen_while_triggers_are_looked_at_holds_nobody_up(
    freeze: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    Fingerprint.objects.update(text="[0]")
    keep = integrity.keep
    monkeypatch.setattr(integrity, "keep", lambda text: (freeze(), keep(text))[1])
    with pytest.raises(GaveWay):
        proof.look(within=1)
    assert proof.look(within=1).unproved == ""
