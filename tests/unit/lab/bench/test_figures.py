"""Figures: medians of paired ratios, what is added to the way without a proxy, and the bars."""

from __future__ import annotations

from lab.bench import figures
from lab.bench.figures import Bar, Spread
from lab.bench.rounds import Sample


def sample(
    cpu: float | None, *, calls: float = 0, paced: dict[str, tuple[float, float]] | None = None
) -> Sample:
    return Sample(
        cpu=cpu,
        user_service_cpu=0,
        rate=1_000,
        p50=1,
        p99=2,
        memory=None,
        calls=calls,
        paced=paced or {},
    )


def test_ratios_are_paired_within_rounds() -> None:
    rounds = {"ours": [sample(10), sample(90), sample(20)], "theirs": [sample(20), sample(100), sample(80)]}
    found = figures.ratio(rounds, "ours", "theirs", figures.cpu)
    assert found == Spread(0.5, 0.25, 0.9)


def test_a_ratio_needs_both() -> None:
    assert figures.ratio({"ours": [sample(10)]}, "ours", "theirs", figures.cpu) is None


def test_added_latency_is_relative_to_the_same_round_without_a_proxy() -> None:
    rounds = {
        "direct": [sample(None, paced={"50": (100, 200)}), sample(None, paced={"50": (300, 400)})],
        "ours": [sample(1, paced={"50": (150, 900)}), sample(1, paced={"50": (370, 500)})],
    }
    assert figures.added(rounds, "ours", "50", 0) == Spread(60, 50, 70)
    assert figures.added(rounds, "ours", "50", 1) == Spread(400, 100, 700)
    assert figures.added(rounds, "ours", "1000", 0) is None


def test_bars_compare_medians_with_their_limits() -> None:
    rounds = {
        "sidecar": [sample(80), sample(90), sample(300)],
        "sidecar-sampled": [sample(70), sample(60), sample(90)],
        "haproxy-jwt": [sample(100), sample(100), sample(100)],
        "aiohttp": [sample(200), sample(200), sample(200)],
        "nginx": [sample(30), sample(40), sample(30)],
        "sidecar-request": [sample(500, calls=1), sample(500, calls=1.5)],
    }
    found = {bar.what: bar.met for bar in figures.bars(rounds)}
    assert found == {
        "CPU a request: authz-sidecar / HAProxy, jwt_verify + map": True,
        "CPU a request: authz-sidecar / plain aiohttp, same pipeline": False,
        "CPU a request: authz-sidecar, 1 % of the allows logged / nginx": False,
        "CPU a request: authz-sidecar, 1 % of the allows logged / HAProxy, jwt_verify + map": True,
        "calls to the User service a request, cached": True,
        "difference from 1 call a request, request-based": False,
    }


def test_a_bar_is_met_at_its_limit() -> None:
    assert Bar("x", 1.0, 1.0, "times").met
    assert not Bar("x", 1.0, 1.001, "times").met
