"""Clients: they keep their tokens for a while, and some say which revision they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from authz_sidecar.core.verdicts import Decision
from lab.simulation import joints
from lab.simulation.clocks import HostClock
from lab.simulation.history import Database
from lab.simulation.judge import Asked
from lab.simulation.keys import AUDIENCE, ISSUER, LIFETIME, Signer
from lab.simulation.population import Population
from lab.simulation.sidecar import Sidecar

RENEWED_AFTER = 60.0
Answered = Callable[[Sidecar, Asked, Decision, bool], None]


@dataclass(slots=True)
class _Token:
    text: bytes
    generation: int
    claimed: str | None
    kid: str
    made_at: float


class Clients:
    """All of them. `answered` hears of every decision."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        population: Population,
        clock: HostClock,
        random: Random,
        answered: Answered,
    ) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock
        self._random = random
        self._answered = answered
        self._subjects = [key for _, key in population.users] + ["stranger"]
        self._tokens: dict[str, _Token] = {}
        self._rules = list(joints.RULES)
        self._count = 0
        self._minimum: str | None = None

    def ask(self, sidecar: Sidecar, now: float) -> None:
        """One request to that sidecar."""
        asked, token = self.draw(now)
        method, path = asked.rule[0], asked.rule[1].replace("{id}", "7")
        head = joints.request(method, path, token, asked.minimum)
        sidecar.ask(
            head,
            f"r{asked.number}",
            partial(self._answered, sidecar, asked),
        )

    def draw(self, now: float) -> tuple[Asked, bytes]:
        """A request, and the token it comes with."""
        random = self._random
        self._count += 1
        sub = random.choice(self._subjects)
        token = self._token(sub, now)
        rule = random.choice(self._rules)
        minimum, foreign = self._draw_minimum()
        asked = Asked(self._count, sub, rule, token.generation, token.claimed, minimum, now, foreign)
        return asked, token.text

    def refused(self, sub: str) -> None:
        """The token was not accepted: the next one is new."""
        self._tokens.pop(sub, None)

    def _draw_minimum(self) -> tuple[str | None, bool]:
        draw, head = self._random.random(), self._database.head
        if draw < 0.3:  # what one's own write has just been answered with
            return f"{head.epoch[:8]}.{head.revision}", False
        if draw < 0.31:
            return f"{head.epoch[:8]}.{head.revision + 5}", True
        if draw < 0.32:
            return f"{self._random.getrandbits(32):08x}.1", True
        return None, False

    def _token(self, sub: str, now: float) -> _Token:
        token = self._tokens.get(sub)
        if token is None or now - token.made_at > RENEWED_AFTER or not self._signer.publishes(token.kid):
            token = self._tokens[sub] = self._make(sub, now)
        return token

    def _make(self, sub: str, now: float) -> _Token:
        head = self._database.head
        state = self._database.state(("user", sub)) or {"token_generation": 0}
        claimed = f"{head.epoch[:8]}.{head.revision}" if self._random.random() < 0.5 else None
        wall = int(self._clock.wall())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "iat": wall,
            "exp": wall + LIFETIME,
            "authz_gen": state["token_generation"],
        }
        if claimed is not None:
            claims["authz_rev"] = claimed
        return _Token(self._signer.sign(claims), state["token_generation"], claimed, self._signer.kid, now)
