"""The checker finds what is wrong, and only that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz_sidecar import cli
from authz_sidecar.commands.verify import Files, verify
from authz_sidecar.core.errors import ConfigurationError
from authz_sidecar.verify.archive import ArchiveError, replay
from authz_sidecar.verify.checker import Evidence, check, right_code

EPOCH = "3f2a9c1b-0000-4000-8000-000000000000"
ALICE = {"active": True, "superuser": False, "permissions": [], "groups": ["3"], "token_generation": 0}


def user(**changes: Any) -> dict[str, Any]:
    return {"kind": "user", "key": "17", "state": {**ALICE, **changes}}


def group(*permissions: str) -> dict[str, Any]:
    return {"kind": "group", "key": "3", "state": {"permissions": list(permissions)}}


def change(revision: int, *entities: dict[str, Any], branch: str = "a") -> str:
    at = f"{branch}{revision}"
    line = {"v": 1, "type": "change", "epoch": EPOCH, "revision": revision, "at": at, "entities": entities}
    return json.dumps({**line, "archived_at": 100.0 + revision})


def snapshot(revision: int, *entities: dict[str, Any], branch: str, archived_at: float) -> list[str]:
    head = {"type": "snapshot", "epoch": EPOCH, "revision": revision, "at": f"{branch}{revision}"}
    end = {"type": "end", "entities": len(entities)}
    lines = [{**head, "archived_at": archived_at}, *entities, end]
    return [json.dumps(line) for line in lines]


def decision(revision: int | None, code: str, request_id: str = "r", **changes: Any) -> dict[str, Any]:
    allowed = code in {"granted", "superuser", "authenticated"}
    line = {
        "request_id": request_id,
        "subject": "17",
        "token_generation": 0,
        "quantifier": "any",
        "permissions": ["s.add"],
        "outcome": "allowed" if allowed else "refused",
        "enforced": True,
        "revoking": False,
        "status": 0 if allowed else 403,
        "code": code,
        "epoch": EPOCH,
        "revision": revision,
        "revision_at": f"a{revision}",
    }
    return {**line, **changes}


def placed(lines: list[str]) -> Iterator[tuple[str, str]]:
    return ((f"line {number}", line) for number, line in enumerate(lines, 1))


def answer(status: int | None, request_id: str = "r", sent_at: float = 100.0, **more: Any) -> dict[str, Any]:
    return {"request_id": request_id, "status": status, "sent_at": sent_at, **more}


HISTORY = [change(1, user()), change(2, group("s.add")), change(3, group())]
RECEIVED = [{"request_id": "r"}]


def violations(
    decisions: list[dict[str, Any]],
    answers: list[dict[str, Any]],
    received: list[dict[str, Any]],
    history: list[str] = HISTORY,
) -> list[str]:
    evidence = Evidence(decisions, answers, received)
    report = check(evidence, replay(placed(history)), max_staleness=5.0)
    return report.violations + report.unjudged


@pytest.mark.parametrize(
    ("decisions", "answers", "received", "found"),
    [
        pytest.param([decision(2, "granted")], [answer(201)], RECEIVED, None, id="right-allow"),
        pytest.param([decision(3, "permission_denied")], [answer(403)], [], None, id="right-refusal"),
        pytest.param([decision(None, "stale", status=503)], [answer(503)], [], None, id="unknown"),
        pytest.param([decision(2, "granted")], [answer(None)], [], None, id="connection-lost"),
        pytest.param(
            [decision(3, "granted")], [answer(201)], RECEIVED, "right is permission_denied", id="late"
        ),
        pytest.param([decision(2, "permission_denied")], [answer(403)], [], "right is granted", id="early"),
        pytest.param(
            [decision(2, "granted"), decision(3, "permission_denied", revoking=True)],
            [answer(403)],
            RECEIVED,
            None,
            id="revoked-under-way",
        ),
        pytest.param(
            [decision(2, "granted"), decision(2, "permission_denied", revoking=True)],
            [answer(403)],
            RECEIVED,
            "right is granted",
            id="revoked-for-nothing",
        ),
        pytest.param(
            [decision(3, "permission_denied", revoking=True)],
            [answer(403)],
            [],
            "never let through",
            id="revoked-alone",
        ),
        pytest.param(
            [decision(9, "granted")], [answer(201)], RECEIVED, "the archive lacks", id="no-such-state"
        ),
        pytest.param(
            [decision(2, "granted", revision_at="b2")],
            [answer(201)],
            RECEIVED,
            "the archive lacks",
            id="branch",
        ),
        pytest.param(
            [decision(2, "granted")], [answer(201, sent_at=108.5)], RECEIVED, "5.500 s old", id="old"
        ),
        pytest.param(
            [decision(2, "granted")],
            [answer(201, min_revision="3f2a9c1b.3")],
            RECEIVED,
            "or newer",
            id="minimum",
        ),
        pytest.param(
            [decision(2, "granted")],
            [answer(201, min_revision="00000000.1")],
            RECEIVED,
            "or newer",
            id="epoch",
        ),
        pytest.param([decision(3, "permission_denied")], [answer(403)], RECEIVED, "yet reached", id="leaked"),
        pytest.param(
            [decision(3, "permission_denied")], [answer(200)], [], "answered 200", id="answered-else"
        ),
        pytest.param([decision(2, "granted")], [answer(201)], RECEIVED * 2, "2 times", id="sent-twice"),
        pytest.param([decision(2, "granted")], [answer(201)], [], "never reached", id="made-up-answer"),
        pytest.param([decision(2, "granted")], [], RECEIVED, "no line of the client", id="no-answer-line"),
        pytest.param([], [answer(201)], RECEIVED, "without a decision", id="undecided"),
        pytest.param([], [answer(403)], [], "without a decision", id="unlogged-refusal"),
        pytest.param([decision(2, "granted")] * 2, [answer(201)], RECEIVED, "2 decision lines", id="twice"),
    ],
)
def test_what_is_a_violation(
    decisions: list[dict[str, Any]],
    answers: list[dict[str, Any]],
    received: list[dict[str, Any]],
    found: str | None,
) -> None:
    result = violations(decisions, answers, received)
    if found is None:
        assert result == []
    else:
        assert any(found in violation for violation in result), result


@pytest.mark.parametrize(
    ("failed_with", "received", "found"),
    [
        (400, [], None),
        (408, [], "was answered 400 without a decision line"),
        (400, RECEIVED, "reached the upstream without a decision line"),
    ],
)
def test_only_its_own_failure_excuses_an_answer_without_a_decision(
    failed_with: int, received: list[dict[str, Any]], found: str | None
) -> None:
    failures = [{"request_id": "r", "status": failed_with}]
    evidence = Evidence([], [answer(400)], received, failures)
    assert check(evidence, replay(placed(HISTORY)), max_staleness=5.0).violations == (
        [f"r: {found}"] if found else []
    )


ALLOWED, REFUSED = decision(2, "granted"), decision(3, "permission_denied")


@pytest.mark.parametrize(
    ("decisions", "status", "arrived", "found"),
    [
        ([ALLOWED, ALLOWED], 201, 2, None),
        ([ALLOWED, ALLOWED], 201, 1, None),
        ([ALLOWED], None, 1, None),
        ([ALLOWED, REFUSED], 403, 1, None),
        ([ALLOWED, REFUSED], 403, 2, "was refused (permission_denied) and yet reached the upstream"),
        ([ALLOWED, ALLOWED], 201, 3, "reached the upstream 3 times"),
        ([ALLOWED, ALLOWED, ALLOWED], 201, 2, "has 3 decision lines"),
    ],
)
def test_what_was_retried_is_decided_and_arrives_once_more(
    decisions: list[dict[str, Any]], status: int | None, arrived: int, found: str | None
) -> None:
    evidence = Evidence(decisions, [answer(status)], RECEIVED * arrived, retries=RECEIVED)
    assert set(check(evidence, replay(placed(HISTORY)), max_staleness=5.0).violations) == (
        {f"r: {found}"} if found else set()
    )


USER = ("user", "17")
GROUP = ("group", "3")


@pytest.mark.parametrize(
    ("entities", "changes", "code"),
    [
        ({}, {}, "subject_unknown"),
        ({USER: {**ALICE, "active": False}}, {}, "subject_inactive"),
        ({USER: {**ALICE, "token_generation": 1}}, {}, "token_revoked"),
        ({USER: {**ALICE, "token_generation": 1}}, {"token_generation": None}, "permission_denied"),
        ({USER: ALICE}, {"quantifier": "authenticated", "permissions": []}, "authenticated"),
        ({USER: {**ALICE, "superuser": True}}, {}, "superuser"),
        ({USER: {**ALICE, "permissions": ["s.add"]}}, {}, "granted"),
        ({USER: ALICE, GROUP: {"permissions": ["s.add"]}}, {}, "granted"),
        ({USER: {**ALICE, "groups": []}, GROUP: {"permissions": ["s.add"]}}, {}, "permission_denied"),
        ({USER: {**ALICE, "permissions": ["s.add"]}}, {"quantifier": "all", "permissions": ["s.add", "x"]},
         "permission_denied"),
        ({USER: {**ALICE, "permissions": ["s.add"]}}, {"permissions": ["s.add", "x"]}, "granted"),
        ({USER: ALICE}, {"permissions": []}, "permission_denied"),
        ({USER: ALICE}, {"permissions": [], "owns": True}, "own"),
        ({USER: {**ALICE, "active": False}}, {"permissions": [], "owns": True}, "subject_inactive"),
        ({USER: {**ALICE, "superuser": True}}, {"permissions": [], "owns": False}, "permission_denied"),
        ({USER: {**ALICE, "superuser": True}}, {"quantifier": "all", "owns": False}, "permission_denied"),
        ({USER: {**ALICE, "superuser": True}}, {"quantifier": "all", "owns": True}, "superuser"),
        ({USER: {**ALICE, "superuser": True}}, {"owns": False}, "superuser"),
        ({USER: {**ALICE, "superuser": True}}, {"owns": True}, "own"),
        ({USER: {**ALICE, "permissions": ["s.add"]}}, {"quantifier": "all", "owns": False},
         "permission_denied"),
        ({USER: {**ALICE, "permissions": ["s.add"]}}, {"quantifier": "all", "owns": True}, "granted"),
    ],
)  # fmt: skip
def test_the_right_answer(entities: Any, changes: dict[str, Any], code: str) -> None:
    assert right_code(decision(1, "?", **changes), entities) == code


@pytest.mark.parametrize(
    ("field", "fields", "code"),
    [
        (None, ["pk", "email"], "permission_denied"),
        ("pk", ["pk", "email"], "permission_denied"),
        ("email", ["pk", "email"], "granted"),
        ("pk", ["email", "pk"], "subject_unknown"),
        ("email", [], "permission_denied"),
    ],
)
def test_whom_a_subject_names_depends_on_the_field(field: str | None, fields: list[str], code: str) -> None:
    (_, sub), named = USER, decision(1, "?", user_field=field)
    entities = {USER: ALICE, ("user", f"email\x1f{sub}"): {**ALICE, "permissions": ["s.add"]}}
    assert right_code(named, entities, fields) == code
    lines = snapshot(1, user(), branch="a", archived_at=1.0)
    first = json.dumps({**json.loads(lines[0]), "subject_fields": fields})
    (moment,) = replay(("", line) for line in [first, *lines[1:]])
    assert moment.subject_fields == tuple(fields)


def test_a_restored_backup_makes_two_histories_that_are_told_apart() -> None:
    restored = [*HISTORY, *snapshot(1, user(), branch="a", archived_at=110.0), change(2, group(), branch="b")]
    right = decision(2, "permission_denied", revision_at="b2")
    wrong = decision(2, "granted", revision_at="b2")
    assert violations([right], [answer(403)], [], restored) == []
    assert "right is permission_denied" in violations([wrong], [answer(201)], RECEIVED, restored)[0]


@pytest.mark.parametrize(
    "history",
    [
        [change(2, user())],
        [change(1, user()), change(3, group())],
        snapshot(1, user(), branch="a", archived_at=1.0)[:-1],
        ["not json"],
    ],
)
def test_an_archive_with_a_hole_is_no_archive(history: list[str]) -> None:
    with pytest.raises(ArchiveError, match=r"line [12]: "):
        list(replay(placed(history)))


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "printed"),
    [
        ("granted", 201, 0, "0 violations"),
        ("permission_denied", 403, 1, "WRONG     r: was permission_denied"),
    ],
)
def test_the_command_reads_files_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, status: int, exit_code: int, printed: str
) -> None:
    contents = {
        "decisions": [
            {**decision(2, code), "type": "decision"},
            {"type": "failure", "request_id": "f", "status": 400},
        ],
        "answers": [answer(status), answer(400, "f")],
        "received": RECEIVED if status == 201 else [],
    }
    for name, lines in contents.items():
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "archive").write_text("".join(f"{line}\n" for line in HISTORY))
    files = Files(tmp_path / "archive", *([tmp_path / name] for name in contents))
    assert verify(files, max_staleness=5.0) == exit_code
    assert printed in capsys.readouterr().out


def test_the_command_refuses_to_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken").write_text("{\n")
    (tmp_path / "archive").write_text("")
    files = Files(tmp_path / "archive", [tmp_path / "broken"])
    assert verify(files, max_staleness=5.0) == 2
    assert "broken:1: not JSON" in capsys.readouterr().out


def verified(tmp_path: Path, decisions: list[dict[str, Any]], history: list[str] = HISTORY) -> int:
    (tmp_path / "archive").write_text("".join(f"{line}\n" for line in history))
    (tmp_path / "log").write_text(
        "".join(json.dumps({"type": "decision", **each}) + "\n" for each in decisions)
    )
    return verify(Files(tmp_path / "archive", [tmp_path / "log"]), max_staleness=5.0)


TOO_LATE = "1970-01-01T00:01:50.000000Z"


@pytest.mark.parametrize(
    ("made", "exit_code", "said"),
    [
        (decision(2, "granted", at="1970-01-01T00:01:47.000000Z"), 0, "the oldest 3.000 s behind"),
        (decision(2, "granted", at=TOO_LATE), 1, "used permissions 6.000 s old"),
        (decision(9, "granted", at=TOO_LATE), 2, "names revision 9 of 3f2a9c1b, which the archive lacks"),
        (decision(3, "granted", at=TOO_LATE), 1, "was granted at revision 3, right is permission_denied"),
    ],
)
def test_decisions_and_archive_are_enough(
    made: dict[str, Any], exit_code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(tmp_path, [made, {**made, "revoking": True}]) == exit_code
    assert said in capsys.readouterr().out


def test_a_token_without_generation_may_have_ended_by_its_age(tmp_path: Path) -> None:
    history = [change(1, user(tokens_not_before=90))]
    made = decision(1, "token_revoked", token_generation=None, at=TOO_LATE)
    assert verified(tmp_path, [made], history) == 0
    assert verified(tmp_path, [made], [change(1, user())]) == 1


def test_gaps_and_contradictions_of_the_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = decision(2, "granted", at="1970-01-01T00:01:42.000000Z")
    gap = [*HISTORY, *snapshot(9, user(), branch="a", archived_at=110.0)]
    assert verified(tmp_path, [made], gap) == 0
    assert (
        "GAP       what came after revision 3 of 3f2a9c1b is missing up to revision 9"
        in capsys.readouterr().out
    )
    assert verify(Files(tmp_path / "archive"), max_staleness=5.0) == 1
    repeated = [*HISTORY, *snapshot(3, user(), group(), branch="a", archived_at=110.0)]
    assert verified(tmp_path, [made], repeated) == 0
    forged = [*HISTORY, *snapshot(3, user(superuser=True), group(), branch="a", archived_at=110.0)]
    assert verified(tmp_path, [made], forged) == 1
    assert "differs in 1 entities from the changes" in capsys.readouterr().out


def test_what_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", f"--archive={tmp_path}/none"]) == 2
    assert "none: cannot be read: No such file" in capsys.readouterr().err
    (tmp_path / "archive").write_text("[]\n")
    assert cli.main(["verify", f"--archive={tmp_path}/archive"]) == 2
    assert f"--archive: {tmp_path}/archive:1: is no entry of an archive" in capsys.readouterr().err


AT = "1970-01-01T00:01:47.000000Z"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at": None}, "log:1: at: is no instant of RFC 3339"),
        ({"at": "yesterday"}, "log:1: at: is no instant of RFC 3339"),
        ({"at": 5}, "log:1: at: is no instant of RFC 3339"),
        ({"request_id": None}, "log:1: request_id: is of another kind than it should be"),
        ({"revision": "2"}, "log:1: revision: is of another kind than it should be"),
        ({"permissions": "s.add"}, "log:1: permissions: is of another kind than it should be"),
        ({"status": True}, "log:1: status: is of another kind than it should be"),
    ],
)
def test_a_line_that_cannot_be_judged_is_told_and_the_others_are_judged(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = decision(2, "granted", at=AT)
    assert verified(tmp_path, [{**made, **changes}, made]) == 2
    shown = capsys.readouterr().out
    assert said in shown
    assert "1 decisions, the oldest" in shown


def test_a_field_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = decision(2, "granted", at=AT)
    assert verified(tmp_path, [{name: made[name] for name in made if name != "code"}, made]) == 2
    assert "log:1: code: is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "is no entry of an archive"),
        ("5", "is no entry of an archive"),
        ("{}", "lacks type"),
        ('{"type": "snapshot"}', "the snapshot does not end"),
        (change(3, group()), "revision 3 does not follow 1"),
    ],
)
def test_what_is_no_archive_is_told_in_plain_words(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text(f"{HISTORY[0]}\n{line}\n")
    with pytest.raises(ConfigurationError) as raised:
        verify(Files(tmp_path / "archive"), max_staleness=5.0)
    assert str(raised.value) == f"--archive: {tmp_path / 'archive'}:2: {said}"
