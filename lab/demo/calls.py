"""How many calls the User service was asked by sidecars, told apart by what caused them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lab.stack.client import call
from lab.stack.process import wait_for
from lab.stack.services import UserService

CAUSED_BY_REQUESTS = frozenset({"check", "subjects"})
"""Endpoints that a sidecar asks because of one request; all others it asks on its own."""

CallCounter = Callable[[], Counter[str]]
"""Calls so far by endpoint."""

_SIDECARS_CALL = re.compile(r"/(?:authz/v1|\.well-known)/([^/]+)")
_METRIC = re.compile(r'^authz_user_service_calls_total\{.*endpoint="([^"]+)".*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Calls:
    caused: int
    background: int


def between(before: Counter[str], after: Counter[str]) -> Calls:
    made = after - before
    caused = sum(made[endpoint] for endpoint in CAUSED_BY_REQUESTS)
    return Calls(caused, made.total() - caused)


def from_access_log(service: UserService) -> CallCounter:
    """Counts what the User service itself has logged as answered."""

    def count() -> Counter[str]:
        _settle(service)
        calls: Counter[str] = Counter()
        for (_method, path), times in service.requests().items():
            if called := _SIDECARS_CALL.match(path):
                calls[called[1]] += times
        return calls

    return count


def _settle(service: UserService) -> None:
    """A line is written after its answer: wait for that of a request of our own, made last."""
    mark = ("GET", "/livez")
    seen = service.requests()[mark]
    call(f"{service.url}/livez")
    wait_for(lambda: service.requests()[mark] > seen, 10, "the User service's access log")


def from_metrics(admin_url: str) -> CallCounter:
    """Counts what the sidecar says that it asked."""

    def count() -> Counter[str]:
        exposition = call(f"{admin_url}/metrics").body.decode()
        calls: Counter[str] = Counter()
        for endpoint, value in _METRIC.findall(exposition):
            calls[endpoint] += int(float(value))
        return calls

    return count
