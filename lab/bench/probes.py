"""Is the proxy right? No figure is printed of one that is not."""

from __future__ import annotations

from lab.bench.load import BODY, TARGET
from lab.bench.upstream import STATUS, Echo
from lab.bench.world import Tokens
from lab.stack.client import call


class WrongAnswer(Exception):
    """A proxy answered otherwise than it should; its figures would mean nothing."""


def check(address: str, tokens: Tokens, echo: Echo, *, decides: bool) -> None:
    """Raises WrongAnswer. Nothing that is refused may reach the upstream."""
    cases = (
        ("an allowed subject", tokens.allowed[-1], {STATUS}),
        ("a forbidden subject", tokens.forbidden, {403}),
        ("a forged token", tokens.forged, {401}),
        ("a token for another audience", tokens.foreign, {401, 403}),  # Envoy says 403
        ("an expired token", tokens.expired, {401}),
        ("no token", "", {401}),
    )
    before, passed = echo.requests(), 0
    for what, token, right in cases:
        answer = call(f"http://{address}{TARGET}", "POST", token=token, data=BODY.encode())
        if answer.status not in (right if decides else {STATUS}):
            raise WrongAnswer(f"{what} was answered {answer.status}: {answer.body[:200]!r}")
        passed += answer.status == STATUS
    reached = echo.requests() - before
    if reached != passed:
        raise WrongAnswer(f"{passed} requests were let through, but {reached} reached the upstream")
