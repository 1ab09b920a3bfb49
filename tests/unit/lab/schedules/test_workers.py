"""Schedules are handed out one after the other, not all at once."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from typing import Any, cast

import pytest

from lab.schedules import workers


class OneAfterTheOther:
    """A pool that has taken everything it can get before it begins, as those of multiprocessing do."""

    def imap_unordered(self, act: Callable[[str], Any], texts: Iterable[str], _: int) -> Iterator[Any]:
        with ThreadPool(1) as pool:
            yield from pool.imap_unordered(act, texts)


@pytest.mark.parametrize(("given", "seconds", "played"), [(3, 60.0, 3), (None, -1.0, 0)])
def test_it_ends_with_the_schedules_or_the_time(
    monkeypatch: pytest.MonkeyPatch, given: int | None, seconds: float, played: int
) -> None:
    monkeypatch.setattr(workers, "_play", lambda text: text)
    texts = map(str, itertools.islice(itertools.count(), given))
    assert len(list(workers.play(cast("Any", OneAfterTheOther()), texts, seconds, 1))) == played


def test_what_is_not_played_in_time_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_play", lambda text: text)
    taken: list[int] = []
    texts = (
        str(taken.append(number)) for number in itertools.takewhile(lambda _: not over, itertools.count())
    )
    over: list[bool] = []
    verdicts = workers.play(cast("Any", OneAfterTheOther()), texts, 60, 1)
    next(verdicts)
    assert len(taken) <= 2 * workers.BATCH + 1
    over.append(True)
    assert len(list(verdicts)) < 2 * workers.BATCH + 1
