"""One player for each database, in this process."""

from collections.abc import Iterator

import pytest

from lab.schedules import workers
from lab.schedules.player import Player


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def player(request: pytest.FixtureRequest, django_db_blocker: object) -> Iterator[Player]:
    with django_db_blocker.unblock(), workers.player(request.param) as mine:
        yield mine
