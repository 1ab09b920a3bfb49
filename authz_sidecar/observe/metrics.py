"""What is counted for Prometheus; `observe.families` says what each metric means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from authz_sidecar.core.ports import Dependency
from authz_sidecar.core.verdicts import FORWARDED, Answered, Code, Decision, Failure, FaultCode
from authz_sidecar.observe import families
from authz_sidecar.observe.families import Family
from authz_sidecar.observe.output import Outputs
from authz_sidecar.observe.tallies import Cell, Distribution, Reading, Tally

NO_RULE: Final = ""
OTHER_RULES: Final = "(others)"
MAX_RULES: Final = 1_000
OPENMETRICS: Final = "application/openmetrics-text"
_CLASSES = tuple(f"{hundreds}xx" for hundreds in range(10))

disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped; else each counter has a second series


class Outcome:
    """Of decisions, by rule: the cells that were counted in before."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cells: dict[str, Cell] = {}


class Metrics:
    """What is counted. One registry of its own, so that two sidecars can live in one process."""

    def __init__(self, *, enforced: bool = True) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._enforced = "true" if enforced else "false"
        self._decisions = Tally(families.DECISIONS, ((code, self._enforced) for code in Code))
        self._rules = Tally(families.RULE_DECISIONS, [(NO_RULE, each) for each in self._outcomes])
        self._known_rules: set[str] = {NO_RULE}
        self._by_code: dict[str, Cell] = {}
        self._by_code_in_shadow: dict[str, Cell] = {}
        self._allowed, self._refused = Outcome("allowed"), Outcome("refused")
        self._would_refuse = Outcome("would_refuse")
        self._decision_seconds = Distribution(families.DECISION_SECONDS)
        self._failures = Tally(families.FAILURES, ((code,) for code in FaultCode))
        self._responses = Tally(families.RESPONSES, ((each,) for each in _CLASSES[1:6]))
        self._response_seconds = Distribution(families.RESPONSE_SECONDS)
        self._upstream_seconds = Distribution(families.UPSTREAM_SECONDS)
        self._retries = Tally(families.RETRIES, [()])
        self._calls = Tally(families.USER_SERVICE_CALLS)
        self._of_all = self._of_every_process()
        self.propagation = Distribution(families.PROPAGATION_SECONDS)
        for each in (*self._of_all.values(), self.propagation):
            self.registry.register(each)
        self.duplicates = self._counter(families.DUPLICATES)
        self.gaps = self._counter(families.GAPS)
        self.rejected = self._counter(families.MESSAGES_REJECTED)
        self.foreign_epochs = self._counter(families.FOREIGN_EPOCHS)
        self.silences = self._counter(families.SILENCES)
        self.drift = self._counter(families.DRIFT)
        self.resyncs = self._counter(families.RESYNCS)
        self.losses = self._counter(families.DEPENDENCY_LOSSES)
        for name in get_args(Dependency):
            self.losses.labels(name)
        self._reloads = self._counter(families.RELOADS)
        for outcome in ("accepted", "rejected"):
            self._reloads.labels(outcome)
        self._reload_rejected = self._gauge(families.RELOAD_REJECTED)

    def _of_every_process(self) -> dict[str, Tally | Distribution]:
        """What each process counts for itself."""
        return {
            "decisions": self._decisions,
            "rules": self._rules,
            "failures": self._failures,
            "responses": self._responses,
            "retries": self._retries,
            "calls": self._calls,
            "decision_seconds": self._decision_seconds,
            "response_seconds": self._response_seconds,
            "upstream_seconds": self._upstream_seconds,
        }

    def _counter(self, family: Family) -> Counter:
        return Counter(family.name, family.meaning, family.labels, registry=self.registry)

    def _gauge(self, family: Family) -> Gauge:
        return Gauge(family.name, family.meaning, registry=self.registry)

    def decided(self, decision: Decision, seconds: float) -> None:
        code, enforced = decision.verdict.code, decision.enforced
        cell = (self._by_code if enforced else self._by_code_in_shadow).get(code)
        if cell is None:
            cell = self._cell_of_code(code, enforced=enforced)
        cell.count += 1
        self._decision_seconds.observe(seconds)
        outcome = self._refused if enforced else self._would_refuse
        if code in FORWARDED:
            outcome = self._allowed
        rule = decision.rule or NO_RULE
        cell = outcome.cells.get(rule)
        if cell is None:
            cell = self._cell_of_rule(outcome, rule)
        cell.count += 1

    def _cell_of_code(self, code: Code, *, enforced: bool) -> Cell:
        cells = self._by_code if enforced else self._by_code_in_shadow
        found = cells[code] = self._decisions.cell((code, "true" if enforced else "false"))
        return found

    def _cell_of_rule(self, outcome: Outcome, rule: str) -> Cell:
        """What stands for all others is looked up each time: nothing is kept for every rule that ever was."""
        admitted = self._admitted(rule)
        found = self._rules.cell((admitted, outcome.name))
        if admitted == rule:
            outcome.cells[rule] = found
        return found

    @property
    def _outcomes(self) -> tuple[str, str]:
        return "allowed", "refused" if self._enforced == "true" else "would_refuse"

    def expect_rules(self, labels: Iterable[str]) -> None:
        """Export these rules from now on, though none of them has decided anything yet."""
        for label in labels:
            rule = self._admitted(label)
            for outcome in self._outcomes:
                self._rules.cell((rule, outcome))

    def _admitted(self, rule: str) -> str:
        """The rule, or what stands for those that are too many: policies come and go, metrics stay."""
        if rule not in self._known_rules:
            if len(self._known_rules) > MAX_RULES:
                return OTHER_RULES
            self._known_rules.add(rule)
        return rule

    def failed(self, failure: Failure) -> None:
        self._failures.cell((failure.code,)).count += 1

    def answered(self, answered: Answered) -> None:
        self._responses.cell((_CLASSES[answered.status // 100],)).count += 1
        self._response_seconds.observe(answered.seconds, answered.trace_id)
        if answered.upstream is not None:
            self._upstream_seconds.observe(answered.upstream, answered.trace_id)

    def retried(self) -> None:
        self._retries.cell(()).count += 1

    def counted(self) -> dict[str, Any]:
        """What every process counts for itself, as plain values for `add` and `show`."""
        return {name: each.counted() for name, each in self._of_all.items()}

    def add(self, counted: Mapping[str, Any]) -> None:
        """Go on from what another process has counted."""
        for name, each in self._of_all.items():
            each.add(counted[name])
        self._known_rules.update(rule for rule, *_ in counted["rules"])

    def show(self, counted: Iterable[Mapping[str, Any]]) -> None:
        """Export what these others have counted, too."""
        others = list(counted)
        for name, each in self._of_all.items():
            each.show(one[name] for one in others)

    def called(self, endpoint: str, status: int | None) -> None:
        """A call to the User service ended; `None` when there was no answer."""
        self._calls.cell((endpoint, f"{status // 100}xx" if status else "none")).count += 1

    def reloaded(self, *, accepted: bool) -> None:
        """The configuration was read anew, and put into force or rejected."""
        self._reloads.labels("accepted" if accepted else "rejected").inc()
        self._reload_rejected.set(not accepted)

    def totals(self) -> dict[str, Any]:
        """What the page of the admin port shows of it, as plain values; times in seconds."""
        decisions: dict[str, int] = {}
        for (code, _enforced), count in self._decisions.totals.items():
            decisions[str(code)] = decisions.get(str(code), 0) + count
        rules: dict[str, dict[str, int]] = {}
        for (rule, outcome), count in self._rules.totals.items():
            rules.setdefault(rule, {})[outcome] = count
        return {
            "decisions": decisions,
            "rules": rules,
            "decision": self._decision_seconds.quantile(0.99),
            "propagation": self.propagation.quantile(0.99),
            "upstream": self._upstream_seconds.quantile(0.99),
        }

    def export(self, family: Family, read: Callable[[], float]) -> None:
        """A gauge that is read when somebody scrapes."""
        self._gauge(family).set_function(read)

    def watch(self, outputs: Outputs) -> None:
        """Export how many lines the logs have lost."""
        decisions, diagnostics = outputs.decisions, outputs.diagnostics
        self.registry.register(Reading(families.DECISION_LOG_DROPPED, lambda: decisions.dropped))
        self.registry.register(Reading(families.LOG_DROPPED, lambda: diagnostics.dropped))

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics, and the content type: OpenMetrics, which has exemplars, where `accept` names it."""
        if OPENMETRICS in accept:
            body: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # as above
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
