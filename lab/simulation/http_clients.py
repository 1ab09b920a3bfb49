"""Clients of the byte path: connections with several requests each, polite and otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random

import h11

from lab.simulation.byte_judge import ByteJudge
from lab.simulation.cases import MARK, SAFE, Case, payload
from lab.simulation.clients import Clients
from lab.simulation.scheduler import Scheduler
from lab.simulation.sidecar import Sidecar
from lab.simulation.wires import Wire

PATIENCE = 40.0
"""Seconds in which something must happen to a request: longer than every limit of the byte path."""
WELL_SECONDS = 15.0
"""So long after the last trouble nothing excuses that a request is not served."""
RACE_SECONDS = 2.0
"""A request may meet a kept connection that the service has just closed; not every one may be repeated."""
MANNERS = ("polite",) * 6 + ("half-close", "leave", "vanish", "slow", "deaf", "stall")
DEAF_SECONDS = (0.5, 20.0)
"""For so long some read nothing more once an answer has begun: less than a sidecar waits for it, or more."""
SIZES = (0, 0, 1, 300, 6_000, 30_000)


class HttpClients:
    """`well_for`: how long a sidecar, its service and the ways to both have been well, in seconds.

    `owed`: whether there are connections enough for all to be served in time.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        clients: Clients,
        judge: ByteJudge,
        well_for: Callable[[Sidecar], float],
        *,
        owed: bool,
    ) -> None:
        self.scheduler = scheduler
        self.random = random
        self.judge = judge
        self.well_for = well_for
        self.owed = owed
        self._clients = clients

    def connect(self, sidecar: Sidecar) -> None:
        """A client that sends some requests to that sidecar."""
        cases = [self._case() for _ in range(self.random.randint(1, 4))]
        manner = self.random.choice(MANNERS)
        # After one of HTTP/1.0 nothing follows; its answer may end with its connection.
        if self.random.random() < (0.5 if manner == "deaf" else 0.1):
            cases[-1].minor, cases[-1].chunked = 0, False
        for case in cases:
            self.judge.cases[case.number] = case
        client = HttpClient(self, sidecar, cases, manner)
        wire = sidecar.accept(client, self.random)
        if wire is not None:
            client.start(wire)

    def _case(self) -> Case:
        random = self.random
        asked, token = self._clients.draw(self.scheduler.now)
        method, target = asked.rule[0], asked.path
        if random.random() < 0.3:
            method = random.choice(sorted(SAFE))
            asked.rule = method, asked.rule[1]
        body = b"" if method in SAFE else payload(asked.number, random.choice(SIZES))
        fields = [("Authorization", f"Bearer {token.decode()}"), (MARK, str(asked.number))]
        fields.append(("X-Request-Id", f"b{asked.number}"))
        if asked.minimum is not None and method not in SAFE:
            fields.append(("Authz-Min-Revision", asked.minimum))
        chunked = bool(body) and random.random() < 0.5
        return Case(asked, method, target, fields, body, chunked)


class HttpClient:
    """One connection; implements `wires.Peer`."""

    _wire: Wire

    def __init__(self, clients: HttpClients, sidecar: Sidecar, cases: list[Case], manner: str) -> None:
        self._clients = clients
        self._sidecar = sidecar
        self._unsent = deque(cases)
        self._unanswered: deque[Case] = deque()
        self._manner = manner
        self._pipelines = clients.random.random() < 0.4
        self._parser: h11.Connection | None = None
        self._answer: h11.Response | None = None
        self._body = bytearray()
        self._sending = False
        self._over = False
        self._last = clients.scheduler.now
        """When something was sent or received."""

    def start(self, wire: Wire) -> None:
        self._wire = wire
        random, scheduler = self._clients.random, self._clients.scheduler
        if self._manner in ("leave", "vanish"):
            action = wire.leave if self._manner == "leave" else wire.vanish
            scheduler.after(random.choice((0.01, 0.3, 2.0)) * random.random(), lambda: self._end(action))
        if self._manner == "slow":
            self._read_slowly()
        scheduler.after(PATIENCE, self._watch)
        self._send_next()

    # sending

    def _send_next(self) -> None:
        if self._over or self._sending or not self._unsent or (self._unanswered and not self._pipelines):
            return
        self._sending = True
        case = self._unsent.popleft()
        if not self._unanswered:
            self._expect(case)
        self._unanswered.append(case)
        pieces = [case.head(), *self._body_of(case)]
        if self._manner == "stall" and self._clients.random.random() < 0.5:
            half = b"".join(pieces)
            pieces = [half[: self._clients.random.randint(1, len(half) - 1)]]
            case.stalls = True
        self._send(case, pieces)

    def _body_of(self, case: Case) -> list[bytes]:
        random, body = self._clients.random, case.body
        at = [0, *sorted(random.randint(0, len(body)) for _ in range(2)), len(body)]
        pieces = [body[one:other] for one, other in pairwise(at) if other > one]
        if case.chunked:
            return [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]
        return pieces

    def _send(self, case: Case, pieces: list[bytes]) -> None:
        random = self._clients.random
        while pieces and not self._over:
            if len(pieces) == 1 and not case.stalls:
                case.all_sent_at = self._clients.scheduler.now
            self._last = self._clients.scheduler.now
            self._wire.send(pieces.pop(0))
            if pieces and random.random() < 0.3:
                delay = random.choice((0.001, 0.05, 0.5, 1.5))
                self._clients.scheduler.after(delay, partial(self._send, case, pieces))
                return
        self._sending = case.all_sent_at is None
        if not self._unsent and not self._sending and self._manner == "half-close":
            self._wire.finish()
        self._send_next()

    def _read_nothing(self) -> None:
        self._wire.set_peer_reading(False)
        seconds = self._clients.random.uniform(*DEAF_SECONDS)
        self._clients.scheduler.after(seconds, partial(self._wire.set_peer_reading, True))

    def _read_slowly(self) -> None:
        if not self._over:
            self._wire.set_peer_reading(self._clients.random.random() < 0.5)
            self._clients.scheduler.after(self._clients.random.uniform(0.1, 3.0), self._read_slowly)

    # receiving: wires.Peer

    def received(self, data: bytes) -> None:
        if self._over:
            return
        self._last = self._clients.scheduler.now
        if self._manner == "deaf" and self._answer is None:
            self._read_nothing()
        if self._parser is None:
            self._clients.judge.astray(self._sidecar.name, data)
            return
        self._parser.receive_data(data)
        self._read()

    def ended(self) -> None:
        if not self._over and self._parser is not None:
            self._parser.receive_data(b"")
            self._read(ends="ended in order")
        self._end(self._wire.leave, "ended in order")

    def lost(self) -> None:
        self._end(lambda: None, "reset")

    def _read(self, ends: str = "") -> None:
        parser = self._parser
        while parser is not None and parser is self._parser and not self._over:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError:
                if ends and self._unanswered:
                    return
                self._clients.judge.malformed_answer(self._unanswered[0])
                return
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return
            self._take(event, parser)

    def _take(self, event: object, parser: h11.Connection) -> None:
        if isinstance(event, h11.Response):
            self._answer, self._body = event, bytearray()
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage) and self._answer is not None:
            case = self._unanswered.popleft()
            fields = dict(self._answer.headers)
            body = bytes(self._body)
            blameless = self._blameless(case)
            self._clients.judge.answered(case, self._answer.status_code, fields, body, blameless=blameless)
            self._go_on(parser, last=fields.get(b"connection") == b"close")

    def _go_on(self, parser: h11.Connection, *, last: bool) -> None:
        """The next answer, the next request, or the end."""
        self._parser = self._answer = None
        if last:
            self._end(self._wire.leave)
            return
        if self._unanswered:
            self._expect(self._unanswered[0])
        if rest := parser.trailing_data[0]:
            self.received(rest)
        if self._unsent or self._unanswered:
            self._send_next()
        else:
            self._end(self._wire.leave)

    def _expect(self, case: Case) -> None:
        """Only the method says how an answer is to be read."""
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
        self._parser.send(h11.Request(method=case.method, target="/", headers=[("Host", "x")]))
        self._parser.send(h11.EndOfMessage())

    # the end

    def _end(self, action: Callable[[], object], how: str = "") -> None:
        if self._over:
            return
        self._over = True
        if how and self._unanswered:
            # In a moment: a fault that has just struck is known by then.
            self._clients.scheduler.after(0.001, partial(self._unanswered_by, self._unanswered[0], how))
        action()

    def _unanswered_by(self, case: Case, how: str) -> None:
        self._clients.judge.unanswered(case, how, blameless=self._blameless(case))

    def _blameless(self, case: Case) -> bool:
        manners = self._manner in ("polite", "half-close") and not case.disturbed
        upstream, now = self._sidecar.upstream, self._clients.scheduler.now
        raced = upstream is not None and now - upstream.closed_at < RACE_SECONDS
        return (
            manners
            and not raced
            and self._clients.owed
            and self._clients.well_for(self._sidecar) > WELL_SECONDS
        )

    def _watch(self) -> None:
        """Nothing may hang, whatever the client is like."""
        if self._over:
            return
        now, well = self._clients.scheduler.now, self._clients.well_for(self._sidecar)
        if self._unanswered and min(now - self._last, well) > PATIENCE:
            self._clients.judge.hangs(self._unanswered[0], now - self._last)
        self._clients.scheduler.after(PATIENCE, self._watch)
