"""Judges a history. Pure: it shares nothing with the product but the reading of an entity's state.

While the entities that are pending fit in one run, each revision must be a state that was committed, as
a whole, in the order of the commits. Beyond that each subject is judged on its own: what one holds at a
revision is part of what one held at some commit, these commits never go back, and whoever no pending commit
concerns holds exactly that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from lab.schedules import product
from lab.schedules.history import Claim, Commit, History
from lab.schedules.product import Entities
from lab.schedules.world import State


@dataclass(frozen=True)
class View:
    """The log at one revision."""

    number: int
    entities: Entities
    state: State
    commits: int


def judge(history: History) -> list[str]:
    """What is wrong with it, in words; nothing when all is right."""
    views = _views(history)
    found = [what for what in history.wrong if not (history.unproved and what.startswith("the audit"))]
    found += _gaps(history)
    found += _answers(history, views)
    whole = history.schedule.limit is None and (history.schedule.crowd or 0) < product.LIMIT
    claimed = {claim.revision for claim in history.claims}
    proved = [view for view in views if not history.unproved or view.number in claimed]
    found += _whole(history, proved) if whole else _by_subject(history, proved)
    found += _told(history, views)
    found += _lost(history, views)
    found += _tokens(history, views)
    last = views[-1]
    if difference := differs(last.state, history.commits[-1].state):
        found.append(f"in the end the log says otherwise than the tables: {difference}")
    if _alive(last.entities) != _alive(history.kept):
        found.append("the newest states that the log keeps are not what its revisions amount to")
    return list(dict.fromkeys(found))


def differs(log: State, tables: State) -> str:
    """In which way the log says something else; empty when it does not."""
    for key in sorted(log.users.keys() | tables.users.keys()):
        said, true = log.users.get(key), tables.users.get(key)
        if said is None or true is None:
            if said is not true:
                return f"user {key} is gone" if said is None else f"user {key} should be gone"
            continue
        for what in ("active", "superuser", "permissions", "groups"):
            has, should = getattr(said, what), getattr(true, what)
            if has != should:
                return f"user {key} has {what} {_show(has)} instead of {_show(should)}"
        if said.generation < true.generation:
            return f"user {key} has token generation {said.generation} instead of {true.generation}"
    for key in sorted(log.groups.keys() | tables.groups.keys()):
        if log.groups.get(key) != tables.groups.get(key):
            return f"group {key} is {_show(log.groups.get(key))} instead of {_show(tables.groups.get(key))}"
    return ""


def _views(history: History) -> list[View]:
    """A revision that somebody is told of later stands for what there is by then, too: a write that another
    has undone before anybody looked needs none of its own.
    """
    entities = history.entities
    later: dict[int, int] = {}
    for claim in history.claims:
        later[claim.revision] = max(later.get(claim.revision, 0), claim.commits)
    views = [View(history.begin, entities, product.state(entities), later.get(history.begin, 0))]
    for revision in history.revisions:
        entities = product.applied(entities, revision.entities)
        commits = max(revision.commits, later.get(revision.number, 0))
        views.append(View(revision.number, entities, product.state(entities), commits))
    return views


def _gaps(history: History) -> Iterator[str]:
    expected = history.begin
    for revision in history.revisions:
        expected += 1
        if revision.number != expected:
            yield f"revision {revision.number} follows {expected - 1}"
            expected = revision.number


def _answers(history: History, views: list[View]) -> Iterator[str]:
    """What was answered is what the log said at the revision that the answer names."""
    by_number = {view.number: view for view in views}
    for claim in history.claims:
        view = by_number.get(claim.revision)
        if view is None:
            yield f"{claim.by} names revision {claim.revision}, which nobody has seen"
            continue
        for name, shown in (claim.shows or {}).items():
            kind, _, key = name.partition(":")
            if view.entities.get((kind, key)) != shown:
                yield f"{claim.by} shows {name} otherwise than revision {claim.revision}"


def _told(history: History, views: list[View]) -> Iterator[str]:
    """The revision that an author is told of contains his write: what he changed last is as he left it."""
    by_number = {view.number: view for view in views}
    for claim in history.claims:
        if not claim.own or (view := by_number.get(claim.revision)) is None:
            continue
        commits = history.commits[claim.contains - 1 : max(view.commits, claim.contains) + 1]
        before, after = (_each(commit.state) for commit in commits[:2])
        later = [_each(commit.state) for commit in commits[2:]]
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        his = {key for key in changed if all(each.get(key) == after.get(key) for each in later)}
        said = product.state(view.entities, unborn=True)
        if difference := differs(_part(said, his), _part(commits[1].state, his)):
            yield f"revision {view.number} lacks a write of which {claim.by} was told: {difference}"


def _each(state: State) -> dict[tuple[str, str], object]:
    users = {("user", key): user for key, user in state.users.items()}
    return {**users, **{("group", key): held for key, held in state.groups.items()}}


def _part(state: State, those: set[tuple[str, str]]) -> State:
    return State(
        {key: user for key, user in state.users.items() if ("user", key) in those},
        {key: held for key, held in state.groups.items() if ("group", key) in those},
    )


def _whole(history: History, views: list[View]) -> Iterator[str]:
    def same(view: View, commit: Commit) -> bool:
        return not differs(view.state, commit.state)

    claims = [claim for claim in history.claims if not claim.own or _changed(history, claim.contains)]
    for view, problem in _out_of_order(history, views, same, claims):
        known = history.commits[min(view.commits, len(history.commits) - 1)]
        difference = differs(view.state, known.state) or "it is an older state"
        yield f"revision {view.number} {problem}: {difference}"


def _out_of_order(
    history: History, views: list[View], fits: Callable[[View, Commit], bool], claims: list[Claim]
) -> Iterator[tuple[View, str]]:
    """Those that are no commit they could be; each of the others is taken for the oldest it can be."""
    bound: dict[int, Claim] = {}
    for claim in claims:
        if claim.revision not in bound or bound[claim.revision].contains < claim.contains:
            bound[claim.revision] = claim
    position = 0
    for view in views:
        told = bound.get(view.number)
        contains = told.contains if told else 0
        possible = range(position, max(view.commits, contains) + 1)
        matching = [each for each in possible if fits(view, history.commits[each])]
        if matching and matching[-1] >= contains:
            position = next(each for each in matching if each >= contains)
        elif matching and told:
            by = history.commits[contains].by
            yield view, f"lacks commit {contains} (by {by}), {told.by} was told otherwise"
        else:
            yield view, "shows what was never committed, or not in that order"


def _lost(history: History, views: list[View]) -> Iterator[str]:
    """Where only gains are pending, whatever somebody holds by the log he does hold."""
    by_number = {view.number: view for view in views}
    for number, commit in dict.fromkeys(history.lossless):
        said, true = by_number[number].state, history.commits[commit].state
        for subject in sorted(said.users):
            if not _part_of(said, true, subject):
                holds = _show(said.holds(subject))
                yield f"only gains are pending at revision {number}, but user {subject} holds {holds} by it"


def _tokens(history: History, views: list[View]) -> Iterator[str]:
    """Who has ended since, if only for a moment, has no valid token from before."""
    for subject, user in views[0].state.users.items():
        now = views[-1].state.users.get(subject)
        valid = now and user.active and now.active and now.generation == user.generation
        if valid and any(_ends(*pair, subject) for pair in pairwise(history.commits)):
            yield f"user {subject} ended, and a token from before is valid again"


def _ends(before: Commit, after: Commit, subject: str) -> bool:
    was, has_become = before.state.users.get(subject), after.state.users.get(subject)
    if was is None or not was.active:
        return False
    ended = has_become is None or not has_become.active or has_become.generation > was.generation
    return ended or subject in after.ends


def _by_subject(history: History, views: list[View]) -> Iterator[str]:
    for subject in sorted({key for commit in history.commits for key in commit.state.users}):
        yield from _one(history, views, subject)


def _one(history: History, views: list[View], subject: str) -> Iterator[str]:
    def part_of(view: View, commit: Commit) -> bool:
        return _part_of(view.state, commit.state, subject)

    complete = {claim.revision: claim.contains for claim in history.claims if not claim.own}
    claims = [
        claim for claim in history.claims if not claim.own or _his_alone(history, claim, subject, complete)
    ]
    for view, problem in _out_of_order(history, views, part_of, claims):
        yield f"revision {view.number} {problem}: user {subject} holds {_show(view.state.holds(subject))}"
    settled = 0
    for view in views:
        settled = max(settled, complete.get(view.number, 0))
        possible = history.commits[settled : max(view.commits, settled) + 1]
        concerned = (
            _concerns(history, each, subject) for each in range(settled + 1, settled + len(possible))
        )
        if not any(concerned) and not _full(view.state, possible[0].state, subject):
            lacks = possible[0].state.holds(subject) - view.state.holds(subject)
            yield f"at revision {view.number} user {subject}, whom nothing concerns, lacks {_show(lacks)}"


def _his_alone(history: History, claim: Claim, subject: str, complete: dict[int, int]) -> bool:
    """Whether the subject is as the author left him: of what concerns him, nothing older was pending."""
    settled = max((number for at, number in complete.items() if at <= claim.revision), default=0)
    older = (_concerns(history, each, subject) for each in range(settled + 1, claim.contains))
    return _concerns(history, claim.contains, subject) and not any(older)


def _changed(history: History, commit: int) -> bool:
    """Whether there is anything of it that a revision could contain."""
    return history.commits[commit].state != history.commits[commit - 1].state


def _concerns(history: History, commit: int, subject: str) -> bool:
    before, after = (history.commits[each].state for each in (commit - 1, commit))
    return before.users.get(subject) != after.users.get(subject) or before.holds(subject) != after.holds(
        subject
    )


def _part_of(log: State, tables: State, subject: str) -> bool:
    said, true = log.users.get(subject), tables.users.get(subject)
    if said is None or not said.active:
        return True
    held, holds = log.holds(subject), tables.holds(subject)
    if true is None or not true.active or said.generation < true.generation:
        return False
    return held <= holds or "*" in holds


def _full(log: State, tables: State, subject: str) -> bool:
    return log.holds(subject) >= tables.holds(subject)


def _alive(entities: Entities) -> Entities:
    return {key: state for key, state in entities.items() if state is not None}


def _show(value: object) -> str:
    return f"{{{', '.join(sorted(map(str, value)))}}}" if isinstance(value, frozenset | set) else str(value)
