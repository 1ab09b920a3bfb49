"""Clients: they keep their tokens for a while, and some say which revision they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from lab.simulation.asked import Asked
from lab.simulation.clocks import HostClock
from lab.simulation.history import Database
from lab.simulation.joints.asking import request
from lab.simulation.joints.rules import POLICIES
from lab.simulation.keys import AUDIENCE, ISSUER, LEEWAY, LIFETIME, OTHER_ISSUER, Signer
from lab.simulation.population import Population
from lab.simulation.process import Told
from lab.simulation.sidecar import Sidecar

RENEWED_AFTER = 60.0
Answered = Callable[[Asked], Told]
"""Whom to tell of the decision on that request."""


@dataclass(slots=True)
class _Token:
    text: bytes
    generation: int | None
    issued: float
    claimed: str | None
    kid: str
    made_at: float


class Clients:
    """All of them."""

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
        self._rules = list(POLICIES[0])
        self._count = 0
        self._minimum: str | None = None

    def ask(self, sidecar: Sidecar, now: float) -> None:
        """One request to that sidecar."""
        asked, token = self.draw(now)
        head = request(asked.rule[0], asked.path, token, asked.minimum)
        sidecar.ask(head, f"r{asked.number}", self._answered(asked))

    def draw(self, now: float) -> tuple[Asked, bytes]:
        """A request, and the token it comes with."""
        random = self._random
        self._count += 1
        sub = random.choice(self._subjects)
        token = self._token(sub, now)
        rule = random.choice(self._rules)
        minimum, foreign = self._draw_minimum()
        whose = sub if random.random() < 0.5 else "7"
        by = token.generation, token.issued, token.claimed
        asked = Asked(self._count, sub, rule, *by, minimum, now, foreign, whose)
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
        wall = int(self._clock.wall())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": wall, "exp": wall + LIFETIME}
        claimed, generation = None, None
        if self._random.random() < 0.2:
            claims["iss"] = OTHER_ISSUER
        else:
            head = self._database.head
            state = self._database.state(("user", sub)) or {"token_generation": 0}
            claims["authz_gen"] = generation = state["token_generation"]
            if self._random.random() < 0.5:
                claims["authz_rev"] = claimed = f"{head.epoch[:8]}.{head.revision}"
        return _Token(self._signer.sign(claims), generation, wall - LEEWAY, claimed, self._signer.kid, now)
