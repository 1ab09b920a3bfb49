"""Breaks the code on purpose, one rule at a time, and shows that a test notices.

    scripts/mutants [NAME...]

Each mutant is made in a working tree of its own, out of what is committed. A mutant that survives means that
a promise of docs/guarantees.md is not proved; so does a place that is no longer found in the code.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import ROOT

MACHINE = "authz_sidecar/core/replica.py"
PROOFS = "authz_sidecar/core/proofs.py"
MACHINE_TESTS = ("tests/unit/core/test_replica.py", "tests/unit/core/test_replica_histories.py")
NEAR_CACHE = "authz_sidecar/replica/near_cache.py"
NEAR_CACHE_TESTS = ("tests/unit/replica/test_near_cache.py",)
LOG, LOG_TESTS = "user_service/authz_changelog/", "tests/integration/changelog/"
EXPLORER = ("tests/integration/lab/schedules/test_explorer.py",)
"""Its share in the suite: for each way in which a change could go unnoticed."""
BEGINS_AN_EPOCH = """\
    with beside_no_run(seconds=30):
        return begin_another()
"""
TESTS_FAILED = 1
"""pytest's exit code; others mean that it could not run them."""


@dataclass(frozen=True)
class Mutant:
    """One rule broken: `before`, found exactly once in `path`, becomes `after`; `tests` must fail."""

    name: str
    path: str
    before: str
    after: str
    tests: Sequence[str]


MUTANTS = (
    Mutant(
        "gap-rule-dropped",
        MACHINE,
        "if position.revision > applied.revision + 1:",
        "if position.revision < 0:",
        MACHINE_TESTS,
    ),
    Mutant(
        "older-revision-applied",
        MACHINE,
        "if position.revision <= applied.revision:",
        "if position.revision == applied.revision:",
        MACHINE_TESTS,
    ),
    Mutant(
        "epoch-ignored",
        MACHINE,
        "if position.epoch != applied.epoch:",
        "if not position.epoch:",
        MACHINE_TESTS,
    ),
    Mutant(
        "arrival-taken-for-freshness",
        PROOFS,
        "made_at = min(made_at, now)",
        "made_at = now",
        MACHINE_TESTS,
    ),
    Mutant(
        "revision-split",
        NEAR_CACHE,
        "for entity in change.entities:\n            if",
        "for entity in change.entities[:1]:\n            if",
        NEAR_CACHE_TESTS,
    ),
    Mutant(
        "invalidation-skipped",
        NEAR_CACHE,
        "if entity.key in entities:",
        "if entity.key not in entities:",
        NEAR_CACHE_TESTS,
    ),
    Mutant(
        "inadmissible-fill",
        NEAR_CACHE,
        "later = None if history is None else history.after(read_at)",
        "later = [] if history is None else history.after(read_at) or []",
        NEAR_CACHE_TESTS,
    ),
    Mutant(
        "missing-is-empty",
        "authz_sidecar/replica/waiting.py",
        "found = [entity for entity in reading.entities if entity is not None]",
        "found = [each or Entity(key, 0, None) for key, each in zip(keys, reading.entities, strict=True)]",
        ("tests/integration/replica/test_authorizer.py",),
    ),
    Mutant(
        "under-way-goes-on",
        "authz_sidecar/pipeline.py",
        "if verdict.allowed or not decision.enforced:",
        "if verdict.allowed or decision.enforced:",
        ("tests/unit/test_pipeline.py",),
    ),
    Mutant(
        "marks-deleted-by-range",
        "user_service/authz_changelog/revisions/pending.py",
        'return f"DELETE FROM {sql.table(Mark)} WHERE {where}", parameters',
        "return f\"DELETE FROM {sql.table(Mark)} WHERE id <= {Mark.objects.latest('id').pk}\", ()",
        ("tests/integration/changelog/test_sequencer.py",),
    ),
    Mutant(
        "watched-tables-not-locked",
        LOG + "revisions/transactions.py",
        "return sql.read(*reading, after=[*begin, *locking])",
        "return sql.read(*reading, after=begin)",
        EXPLORER,
    ),
    Mutant(
        "renames-leave-no-mark",
        LOG + "marks/triggers.py",
        "        _of(PERMISSION, permission._meta.pk, *label),\n",
        "",
        EXPLORER,
    ),
    Mutant(
        "groups-are-not-told-apart",
        LOG + "revisions/incarnations.py",
        "return escaped if number == 1 else",
        "return escaped if number else",
        EXPLORER,
    ),
    Mutant(
        "truncated-groups-come-back",
        LOG + "revisions/incarnations.py",
        "if still := [key for name, key in keys.items() if present[key] == name]:",
        "if still := [key for name, key in keys.items() if present[key] != name]:",
        EXPLORER,
    ),
    Mutant(
        "groups-not-logged-yet-are-dead",
        LOG + "revisions/differences.py",
        "    alive |= groups & set(incarnations.names(keys).values())\n",
        "",
        (LOG_TESTS + "test_overtaking.py",),
    ),
    Mutant(
        "who-returns-has-not-ended",
        LOG + "marks/ends.py",
        "        yield from _returns(watched, subject)\n",
        "",
        EXPLORER,
    ),
    Mutant(
        "gains-overtake-losses",
        LOG + "revisions/sequencer.py",
        "if not batch.whole:",
        "if not batch:",
        EXPLORER,
    ),
    Mutant(
        "what-is-removed-is-a-gain",
        LOG + "marks/triggers.py",
        'return GAIN if event == "INSERT" else "FALSE"',
        "return GAIN",
        EXPLORER,
    ),
    Mutant(
        "refused-for-want-of-what-is-pending",
        "authz_sidecar/core/decision.py",
        "    if _too_old(staleness, max_staleness):\n        return _stale(position, staleness)\n"
        "    return Verdict(found",
        "    return Verdict(found",
        ("tests/unit/core/test_decision.py",),
    ),
    Mutant(
        "triggers-fire-not-always",
        LOG + "marks/triggers.py",
        "ENABLE ALWAYS TRIGGER",
        "ENABLE TRIGGER",
        EXPLORER,
    ),
    Mutant(
        "fingerprint-ignored",
        LOG + "revisions/proof.py",
        "    if unchanged:",
        "    if unchanged or True:",
        EXPLORER,
    ),
    Mutant(
        "triggers-trusted-by-name",
        LOG + "marks/installation.py",
        "if working.get((each.name, each.table)) != sources[each]",
        "if each.name not in {name for name, _ in working}",
        (LOG_TESTS + "test_other_tables.py",),
    ),
    Mutant(
        "columns-trusted-by-name",
        LOG + "marks/integrity.py",
        "({_named()}),",
        "(''),",
        (LOG_TESTS + "test_other_tables.py",),
    ),
    Mutant(
        "replaced-rows-leave-no-mark",
        LOG + "marks/triggers.py",
        "(*_on_sqlite(rule), *_on_replaced(rule))",
        "_on_sqlite(rule)",
        EXPLORER,
    ),
    Mutant(
        "watched-columns-named",
        LOG + "marks/rows.py",
        """return f"({as_json} ->> {literal(str(field.column))})\"""",
        """return f'{row}."{field.column}"::text\'""",
        (LOG_TESTS + "test_proof.py",),
    ),
    Mutant(
        "ends-are-not-remembered",
        LOG + "revisions/generations.py",
        "return own if ended is None else max(own, ended.generation + 1)",
        "return own",
        (LOG_TESTS + "test_identity.py",),
    ),
    Mutant(
        "an-epoch-moves-the-relays-cursor",
        LOG + "revisions/epochs.py",
        BEGINS_AN_EPOCH,
        "    from authz_changelog.revisions.transactions import sequencing\n\n"
        + BEGINS_AN_EPOCH.replace("beside_no_run", "sequencing").replace("return", "head =")
        + "        Cursor.objects.update(revision=head.revision)\n    return head\n",
        EXPLORER,
    ),
    Mutant(
        "what-is-on-its-way-is-a-difference",
        LOG + "revisions/reconcile.py",
        "return None if left and Mark.objects.exclude(kind=USER).exists() else left",
        "return left",
        (LOG_TESTS + "test_audit.py",),
    ),
    Mutant(
        "audit-finds-nothing",
        LOG + "revisions/audit.py",
        "return reconcile.unmarked(reconcile.marks_of(found))",
        "return []",
        (LOG_TESTS + "test_audit.py",),
    ),
    Mutant(
        "audit-as-old-as-its-newest-slice",
        LOG + "revisions/audit.py",
        'oldest=Min("compared_at"), newest=',
        'oldest=Max("compared_at"), newest=',
        (LOG_TESTS + "test_audit.py",),
    ),
    Mutant(
        "the-frozen-keep-the-lock",
        LOG + "revisions/transactions.py",
        "f\"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN_AFTER}'\"",
        '"SET LOCAL idle_in_transaction_session_timeout = 0"',
        (LOG_TESTS + "test_sequencer.py",),
    ),
    Mutant(
        "former-clock-forgotten",
        PROOFS,
        "if beat.at <= self._former_until and",
        "if beat.at < NEVER and",
        ("tests/unit/core/test_proofs.py",),
    ),
)


def main(names: Collection[str]) -> int:
    """The exit code: 0 when every mutant, or each that is named, was caught."""
    survivors = 0
    for mutant in MUTANTS:
        if names and mutant.name not in names:
            continue
        print(f"{mutant.name:<40}", end="", flush=True)
        started = time.monotonic()
        verdict = _judge(mutant)
        survivors += verdict != "caught"
        print(f"{verdict}  ({time.monotonic() - started:.0f} s, {' '.join(mutant.tests)})", flush=True)
    return 1 if survivors else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/mutants", description="Breaks one rule after the other, and shows that a test notices."
    )
    names = [mutant.name for mutant in MUTANTS]
    parser.add_argument(
        "names", nargs="*", choices=[[], *names], metavar="NAME", help=f"only these; of {', '.join(names)}"
    )
    return parser.parse_args()


def _judge(mutant: Mutant) -> str:
    with _working_tree() as tree:
        path = tree / mutant.path
        code = path.read_text()
        if code.count(mutant.before) != 1:
            return "NOT FOUND"
        path.write_text(code.replace(mutant.before, mutant.after))
        argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        done = subprocess.run(argv, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return "SURVIVED"
        return "caught" if done.returncode == TESTS_FAILED else f"NOT JUDGED:\n{done.stdout[-2000:]}"


@contextmanager
def _working_tree() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mutant-") as directory:
        tree = Path(directory) / "tree"
        _git("worktree", "add", "--detach", "--quiet", str(tree))
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True)  # noqa: S607 (as the user's shell finds it)


if __name__ == "__main__":
    sys.exit(main(_arguments().names))
