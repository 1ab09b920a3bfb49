"""The explorer's share in the suite, and what it has found."""

import itertools

import pytest

from lab.schedules.generation import Choice, schedules
from lab.schedules.player import Player
from lab.schedules.report import told_short
from lab.schedules.schedule import parse

SEEDS = range(10)
SCHEDULES = 30
"""For each seed."""
MENDED = {
    "a rewritten table is read as empty": "postgresql a=grant:rc b=add_column:rc r=run | a* b1 r9 b* r*",
    "an audit reads a rewritten table as empty": "postgresql b=rewrite_members:rc r=audit | b1 r*",
    "TRUNCATE is seen by half": "postgresql a=truncate_cascade:rc b=grant:rc r=run | b* a1 r6 a* r*",
    "a run does not give way": "postgresql a=grant:rc b=long_lock:rc r=run | a* b2 r9 r? r*",
    "an epoch begins beside the relay": "postgresql a=grant:rc r=new_epoch s=publish t=run | a* t* r4 s* r*",
    "a label is renamed beside an exchange": "postgresql a=rename_app:rc b=exchange:rc r=sequence | a1 b* r*",
    "codes change places beside a key": "postgresql a=group_key:rc+ c=exchange_codes:ser | c1",
    "session_replication_role": "postgresql a=replica_role:rc |",
    "triggers off and on in one transaction": "postgresql a=disabled_user:rc |",
    "a TEMP table of the marks' name": "postgresql a=temp_marks:rc |",
    "TEMP tables of our names": "postgresql a=temp_of_our_names:rc |",
    "ALTER of a watched column": "postgresql a=alter_watched:rc |",
    "ALTER of a watched link": "postgresql a=alter_link:rc |",
    "PREPARE TRANSACTION": "postgresql a=two_phases |",
    "an audit's page does not give way": "postgresql a=truncate_users:rc t=audit | t1 a* t* t?",
    "REPLACE of a link": "sqlite a=replace_link |",
    "REPLACE by another unique key": "sqlite a=replace_by_name |",
    "UPDATE OR REPLACE": "sqlite a=update_or_replace |",
    "REPLACE of a group": "sqlite a=replace_group |",
    "UPDATE OR REPLACE of a link's key": "sqlite a=replace_grant_key |",
    "REPLACE of a permission": "sqlite a=replace_permission |",
    "REPLACE of a permission's key": "sqlite a=replace_permission_key |",
    "a gain overtakes a loss": (
        "postgresql limits=8 a=crowd_leaves:rc b=crowd_gains:rc r=run s=run | a* b* r* s*"
    ),
    "a group is born again while its members leave": (
        "postgresql limits=8 a=crowd_ends:rc b=crowd_returns:rc r=run s=run | a* r* b* s*"
    ),
    "a group is born again after TRUNCATE": (
        "postgresql a=truncate_cascade:rc b=group_returns:rc r=run | a* r* b*"
    ),
    "a token from before an end": "postgresql a=back_and_forth:rc |",
    "a token of an earlier user": "postgresql a=user_reborn:rc |",
    "a token of who had the key before": "postgresql a=exchange_keys:rc |",
    "a token of who was deactivated unseen": "postgresql a=disabled_user:rc b=user_reborn:rc |",
    "a token of who returned from an end that was not seen": (
        "postgresql a=back_and_forth:rc b=disabled_user:rc | b*"
    ),
    "a group that is not born after all": "sqlite limits=8 a=crowd_returns b=crowd_gains s=sequence | a* s*",
    "who left a group that the log did not know yet": (
        "sqlite limits=8 a=crowd_leaves b=crowd_reborn r=run | b* r* r*"
    ),
    "triggers are switched off while it is seen that they were": (
        "postgresql a=other_column:rc b=disabled_permission:rc s=run | a* s6"
    ),
    "an author is told too early of what no trigger saw": "postgresql a=other_column:rc+ |",
    "an audit beside a group's return": (
        "postgresql a=group_ends:rc b=group_returns:rc r=run s=audit | a* r* b* s*"
    ),
    "a writer to whom a rewritten table looks empty ends nobody": (
        "postgresql a=back_and_forth:rr b=add_column:rc | a1 b*"
    ),
    "a token from before an end, on SQLite": "sqlite a=back_and_forth |",
}
"""What was found once, and is not found again."""


@pytest.mark.parametrize("seed", SEEDS)
def test_schedules(player: Player, seed: int) -> None:
    for schedule in itertools.islice(schedules(Choice(player.database), seed), SCHEDULES):
        verdict = player.play(schedule)
        assert not verdict.wrong, told_short(player.shrink(verdict))


@pytest.mark.parametrize("violation", MENDED)
def test_mended_violations(player: Player, violation: str) -> None:
    _judge(player, MENDED[violation])


def _judge(player: Player, text: str) -> None:
    schedule = parse(text)
    if schedule.database != player.database:
        pytest.skip(f"on {schedule.database}")
    verdict = player.play(schedule)
    assert not verdict.wrong, told_short(verdict)
