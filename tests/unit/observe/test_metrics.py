"""What is counted: values from the start, by rule, and never without bound."""

from __future__ import annotations

import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from authz_sidecar.core.verdicts import Answered, Code, Decision, Verdict
from authz_sidecar.observe.metrics import MAX_RULES, OPENMETRICS, Metrics


def exported(counted: Metrics) -> dict[str, float]:
    lines = counted.exposition()[0].decode().splitlines()
    return {
        name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")
    }


def decided(code: Code, rule: str | None, *, enforced: bool = True) -> Decision:
    return Decision("r", "POST", "/", Verdict(code), 0, rule, enforced=enforced)


@pytest.mark.parametrize(
    "series",
    [
        'authz_decisions_total{code="granted",enforced="true"}',
        'authz_decisions_total{code="stale",enforced="true"}',
        'authz_failures_total{code="upstream_timeout"}',
        'authz_responses_total{class="5xx"}',
        'authz_dependency_losses_total{name="broker"}',
        'authz_reloads_total{outcome="rejected"}',
        'authz_rule_decisions_total{outcome="refused",rule=""}',
        "authz_gaps_total",
        "authz_reload_rejected",
    ],
)
def test_there_is_a_value_before_the_first_event(series: str) -> None:
    assert exported(Metrics())[series] == 0


def test_decisions_are_counted_by_rule() -> None:
    counted = Metrics()
    counted.expect_rules(["POST /a/", "POST /b/"])
    for code, rule in [
        (Code.GRANTED, "POST /a/"),
        (Code.GRANTED, "POST /a/"),
        (Code.PERMISSION_DENIED, "POST /a/"),
        (Code.NO_RULE, None),
    ]:
        counted.decided(decided(code, rule), 0.1)
    found = exported(counted)
    assert {name: value for name, value in found.items() if name.startswith("authz_rule_decisions")} == {
        'authz_rule_decisions_total{outcome="allowed",rule=""}': 0,
        'authz_rule_decisions_total{outcome="refused",rule=""}': 1,
        'authz_rule_decisions_total{outcome="allowed",rule="POST /a/"}': 2,
        'authz_rule_decisions_total{outcome="refused",rule="POST /a/"}': 1,
        'authz_rule_decisions_total{outcome="allowed",rule="POST /b/"}': 0,
        'authz_rule_decisions_total{outcome="refused",rule="POST /b/"}': 0,
    }


def test_shadow_mode_counts_what_would_have_been_refused() -> None:
    counted = Metrics(enforced=False)
    counted.expect_rules(["POST /a/"])
    counted.decided(decided(Code.PERMISSION_DENIED, "POST /a/", enforced=False), 0.1)
    found = exported(counted)
    assert found['authz_rule_decisions_total{outcome="would_refuse",rule="POST /a/"}'] == 1
    assert found['authz_decisions_total{code="permission_denied",enforced="false"}'] == 1


def test_rules_that_come_and_go_with_policies_do_not_fill_the_memory() -> None:
    counted = Metrics()
    counted.expect_rules(f"POST /{n}/" for n in range(MAX_RULES + 50))
    counted.decided(decided(Code.GRANTED, f"POST /{MAX_RULES + 49}/"), 0.1)
    counted.decided(decided(Code.GRANTED, "POST /1/"), 0.1)
    found = exported(counted)
    rules = {name for name in found if name.startswith("authz_rule_decisions")}
    assert len(rules) == 2 * (1 + MAX_RULES + 1)
    assert found['authz_rule_decisions_total{outcome="allowed",rule="(others)"}'] == 1
    assert found['authz_rule_decisions_total{outcome="allowed",rule="POST /1/"}'] == 1


def test_what_several_processes_have_counted_adds_up() -> None:
    """By way of JSON, and however often it is asked for."""
    workers = [Metrics(), Metrics()]
    for number, each in enumerate(workers, 1):
        for _ in range(number):
            each.decided(decided(Code.GRANTED, "PUT /a/"), 0.001)
            each.answered(Answered("r", 200, 0.5, "", upstream=0.3, trace_id=TRACE))
            each.retried()
    whole = Metrics()
    for _ in range(2):
        whole.show(json.loads(json.dumps(each.counted())) for each in workers)
    found = exported(whole)
    assert found['authz_decisions_total{code="granted",enforced="true"}'] == 3
    assert found['authz_rule_decisions_total{outcome="allowed",rule="PUT /a/"}'] == 3
    assert found['authz_responses_total{class="2xx"}'] == 3
    assert found["authz_upstream_retries_total"] == 3
    assert found["authz_decision_seconds_count"] == 3
    assert found["authz_response_seconds_sum"] == 1.5
    assert found["authz_upstream_seconds_count"] == 3
    assert TRACE in whole.exposition(OPENMETRICS)[0].decode()
    assert whole.totals()["decision"] == 0.001


def test_a_process_goes_on_from_what_the_one_before_has_counted() -> None:
    before, after = Metrics(), Metrics()
    before.decided(decided(Code.GRANTED, "PUT /a/"), 0.001)
    after.add(before.counted())
    after.decided(decided(Code.GRANTED, "PUT /a/"), 0.001)
    assert exported(after)['authz_decisions_total{code="granted",enforced="true"}'] == 2


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_openmetrics_names_the_trace_of_the_latest_value_of_each_bucket() -> None:
    counted = Metrics()
    for answered in (
        Answered("r1", 200, 0.4, "", upstream=0.3, trace_id="0" * 31 + "1"),
        Answered("r2", 200, 0.3, "", upstream=0.02, trace_id=TRACE),
        Answered("r3", 200, 0.4, "", upstream=0.02),  # not traced
        Answered("r4", 403, 0.001, ""),  # the service was not asked
    ):
        counted.answered(answered)
    body, kind = counted.exposition(f"{OPENMETRICS};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3")
    assert kind.startswith(OPENMETRICS)
    samples = [each for one in text_string_to_metric_families(body.decode()) for each in one.samples]
    exemplars = {
        (each.name, each.labels["le"]): (each.exemplar.labels, each.exemplar.value)
        for each in samples
        if each.exemplar
    }
    assert exemplars == {
        ("authz_response_seconds_bucket", "0.5"): ({"trace_id": TRACE}, 0.3),
        ("authz_upstream_seconds_bucket", "0.5"): ({"trace_id": "0" * 31 + "1"}, 0.3),
        ("authz_upstream_seconds_bucket", "0.02"): ({"trace_id": TRACE}, 0.02),
    }
    values = {each.name: each.value for each in samples}
    assert (values["authz_response_seconds_count"], values["authz_upstream_seconds_count"]) == (4, 3)
    assert not any(each.name.endswith("_created") for each in samples)


@pytest.mark.parametrize("accept", ["", "*/*", "text/html,application/xhtml+xml", "text/plain;version=1.0.0"])
def test_others_are_given_text(accept: str) -> None:
    counted = Metrics()
    counted.answered(Answered("r1", 200, 0.4, "", trace_id=TRACE))
    body, kind = counted.exposition(accept)
    assert kind.startswith("text/plain")
    assert TRACE not in body.decode()
