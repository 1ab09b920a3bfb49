"""What the campaign makes of the answers it saw."""

from __future__ import annotations

import pytest

from lab.campaign.evidence import Line
from lab.campaign.report import Injected, Report, Verified, Window


def answer(sent_at: float, status: int | None, *, took: float = 0.1, sidecar: str = "one") -> Line:
    return {"sent_at": sent_at, "answered_at": sent_at + took, "status": status, "sidecar": sidecar}


def test_an_outage_lasts_until_the_answer_that_ends_it() -> None:
    answers = [answer(1, 200), answer(2, 503), answer(3, None), answer(4, 403), answer(5, 503)]
    window = Window.of(answers, 0, 10)
    assert (window.requests, window.unknown, window.broken) == (5, 2, 1)
    assert window.outage == 4.1 - 2


def test_one_sidecar_that_serves_does_not_hide_another_that_does_not() -> None:
    answers = [answer(1, 503, sidecar="two"), answer(2, 200), answer(3, 503, sidecar="two")]
    assert Window.of(answers, 0, 10).outage == 3.1 - 1


def test_what_is_sent_before_everybody_is_live_again_is_not_outside() -> None:
    fault = Injected("kill redis", "", "redis", began_at=10, ended_at=12, live_at=13)
    sent = [answer(9.9, 200), answer(10, 503), answer(12.5, 503), answer(13, 200)]
    report = Report(1, 1, max_staleness=5, injected=[fault], answers=sent)
    assert report.outside().requests == 2
    assert report.outside().unknown == 0
    assert report.without("redis").requests == 1


def test_no_copy_can_answer_for_a_revision_that_is_not_here() -> None:
    fault = Injected("kill postgresql", "", "postgresql", began_at=10, ended_at=12, live_at=13)
    sent = [answer(10, 503) | {"code": "behind"}, answer(11, 503) | {"code": "stale"}, answer(11, 200)]
    report = Report(1, 1, max_staleness=5, injected=[fault], answers=sent)
    window = report.without("postgresql")
    assert (window.requests, window.unknown) == (2, 1)


@pytest.mark.parametrize(("emptied_at", "requests"), [(5.0, 1), (-60.0, 2), (12.0, 2)])
def test_what_nobody_has_at_hand_is_a_second_loss_where_redis_has_just_lost_its_copy(
    emptied_at: float, requests: int
) -> None:
    emptied = Injected("evict from redis", "", None, emptied_at - 3, emptied_at)
    frozen = Injected("freeze postgresql", "", "postgresql", 10, 14, 14)
    sent = [answer(11, 503) | {"code": "grants_unknown"}, answer(11, 200)]
    report = Report(1, 1, 5, [emptied, frozen], sent)
    assert report.without("postgresql").requests == requests


def test_failures_name_what_failed() -> None:
    never = Injected("kill redis", "redis", None, began_at=10, ended_at=12)
    report = Report(
        1, 1, max_staleness=5, injected=[never], answers=[answer(1, 503), answer(2, None) | {"hung": True}]
    )
    report.verified = Verified(1, {}, 0.0, ["r: was granted at revision 7, right is permission_denied"], 0)
    assert report.wrong() == [
        "1 violations",
        "1 requests hung",
        "not LIVE again after: kill redis (redis)",
    ]
    assert report.unavailable() == ["only 0.00% were decided outside faults"]


def test_a_campaign_without_a_verdict_has_failed() -> None:
    assert Report(1, 1, max_staleness=5).wrong() == ["nothing was verified"]
