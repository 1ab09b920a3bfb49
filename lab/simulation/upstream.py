"""The protected service of one sidecar: it reads requests with a parser of its own, and answers as it likes.

Now and then it answers before it has read a body, in pieces, with an interim answer first, without a
length, or closes a kept connection just when the next request comes. Faults make it worse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import h11

from lab.simulation.byte_judge import ByteJudge
from lab.simulation.cases import MARK, Case, payload
from lab.simulation.links import Link
from lab.simulation.scheduler import ProcessLoop, Scheduler
from lab.simulation.wires import Ours, Wire

SIZES = (0, 10, 400, 5_000, 40_000)
BODILESS = 204


class Upstream:
    """What is wrong with it is in its public attributes; shares are of requests."""

    def __init__(self, scheduler: Scheduler, random: Random, link: Link, judge: ByteJudge) -> None:
        self.down = False
        self.silent = False
        """It takes connections and answers nothing."""
        self.breaks = 0.0
        self.garbles = 0.0
        self.crashes = 0.0
        """It has read the request, and resets the connection instead of answering."""
        self.closed_at = float("-inf")
        """When a kept connection was closed last."""
        self.scheduler = scheduler
        self.random = random
        self.judge = judge
        self.connections: dict[Served, None] = {}
        self._link = link

    async def connect(self, loop: ProcessLoop, factory: Callable[[], Ours]) -> tuple[Wire, Ours]:
        """Stands in for `loop.create_connection`."""
        await asyncio.sleep(self._link.delay())
        while any(self._link.blocked):  # noqa: ASYNC110 (a link tells nobody that it is well again)
            await asyncio.sleep(0.1)
        if self._link.refuses or self.down:
            raise ConnectionRefusedError(111, "refused")
        served = Served(self)
        wire = served.wire = Wire(loop, self._link, self.random, served)
        self.connections[served] = None
        protocol = factory()
        wire.attach(protocol)
        return wire, protocol

    def reset_all(self) -> None:
        for served in tuple(self.connections):
            served.vanish()

    def close_kept(self) -> None:
        """As servers do with connections that have been idle for long."""
        for served in tuple(self.connections):
            served.close_if_idle()


class Served:
    """One connection of the service; implements `wires.Peer`."""

    wire: Wire

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
        self._case: Case | None = None
        self._body = bytearray()
        self._gone = False
        self._answering = self._answered = False
        """Whether an answer to the request under way has begun, and whether it is complete."""

    # wires.Peer

    def received(self, data: bytes) -> None:
        if not self._gone:
            self._parser.receive_data(data)
            self._read()

    def ended(self) -> None:
        case = self._case
        if self._gone:
            return
        if case is not None and self._parser.their_state is h11.SEND_BODY:
            self._upstream.judge.ended_in_the_middle(case)
        self._close(self.wire.leave)

    def lost(self) -> None:
        self._close(lambda: None)

    def vanish(self) -> None:
        if self._case is not None:
            self._case.disturbed = True
        self._close(self.wire.vanish)

    def close_if_idle(self) -> None:
        if self._case is None and not self._gone:
            self._upstream.closed_at = self._upstream.scheduler.now
            self._close(self.wire.leave)

    def _close(self, action: Callable[[], object]) -> None:
        if not self._gone:
            self._gone = True
            self._upstream.connections.pop(self, None)
            action()

    def _read(self) -> None:
        while not self._gone:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                self._upstream.judge.malformed(str(error), self._case)
                self._close(self.wire.vanish)
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            self._take(event)

    def _take(self, event: Any) -> None:
        judge = self._upstream.judge
        if isinstance(event, h11.Request):
            marks = [value for name, value in event.headers if name == MARK.encode()]
            self._case = judge.arrived(marks, event.method.decode(), event.target.decode())
            self._body = bytearray()
            if self._case is not None and self._upstream.random.random() < 0.05:
                self._begin(self._case)
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage) and self._case is not None:
            judge.whole(self._case, bytes(self._body))
            if self._answered:
                self._done(self._case)
            elif not self._answering:
                self._begin(self._case)

    # its answers

    def _begin(self, case: Case) -> None:
        """Answer this one, some time later."""
        upstream = self._upstream
        self._answering = True
        if upstream.silent:
            case.disturbed = True
            return
        if upstream.random.random() < upstream.crashes:
            self.vanish()
            return
        delay = upstream.random.choice((0.0, 0.001, 0.05, 0.3, 1.5))
        upstream.scheduler.after(delay, partial(self._answer, case))

    def _answer(self, case: Case) -> None:
        random = self._upstream.random
        if self._gone or self._upstream.down:
            return
        if random.random() < self._upstream.garbles:
            case.disturbed = True
            self.wire.send(
                random.choice((b"<html>\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"))
            )
            return
        body = payload(case.number, random.choice(SIZES))
        status = random.choice((200, 200, 201, BODILESS, 404, 500))
        pieces = self._pieces(case, status, body if status != BODILESS else b"")
        if random.random() < 0.1:
            self.wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        breaks = random.random() < self._upstream.breaks
        case.disturbed = case.disturbed or breaks
        self._send(case, pieces[: random.randint(0, len(pieces) - 1)] if breaks else pieces, breaks=breaks)

    def _pieces(self, case: Case, status: int, body: bytes) -> list[bytes]:
        """The answer as it goes over the wire; whether the connection is kept is h11's to say."""
        random, parser = self._upstream.random, self._parser
        bodiless = status == BODILESS or case.method == "HEAD"
        case.answer = status, b"" if bodiless else body
        fields = [(MARK, str(case.number))]
        style = random.choice(("length", "length", "chunked", "close"))
        if style == "length" and status != BODILESS:
            fields.append(("Content-Length", str(len(body))))
        if style == "close" and not bodiless:
            lines = [f"HTTP/1.1 {status} Fine", f"{MARK}: {case.number}", "Connection: close", "", ""]
            parser.send_failed()
            return ["\r\n".join(lines).encode(), *self._cut(body)]
        if random.random() < 0.05:
            fields.append(("Connection", "close"))
        head = parser.send(h11.Response(status_code=status, headers=fields, reason=b"Fine")) or b""
        data = [] if bodiless else [parser.send(h11.Data(data=piece)) or b"" for piece in self._cut(body)]
        return [head, *data, parser.send(h11.EndOfMessage()) or b""]

    def _cut(self, body: bytes) -> list[bytes]:
        at = sorted(self._upstream.random.randint(0, len(body)) for _ in range(2))
        return [piece for piece in (body[: at[0]], body[at[0] : at[1]], body[at[1] :]) if piece]

    def _send(self, case: Case, pieces: list[bytes], *, breaks: bool) -> None:
        if self._gone:
            return
        random, scheduler = self._upstream.random, self._upstream.scheduler
        while pieces:
            self.wire.send(pieces.pop(0))
            if random.random() < 0.2:
                scheduler.after(random.uniform(0.0, 0.5), lambda: self._send(case, pieces, breaks=breaks))
                return
        if breaks:
            self._close(self.wire.vanish)
        else:
            self._done(case)

    def _done(self, case: Case) -> None:
        """The answer is sent: the rest of its request, the next one, or the end."""
        states = self._parser.our_state, self._parser.their_state
        case.disturbed = case.disturbed or self._parser.their_state is h11.SEND_BODY
        if states == (h11.DONE, h11.SEND_BODY):
            self._answered = True
            return
        if states != (h11.DONE, h11.DONE):
            self._close(self.wire.leave)
            return
        self._case, self._answering, self._answered = None, False, False
        self._parser.start_next_cycle()
        if self._upstream.random.random() < 0.1:
            self._upstream.scheduler.after(self._upstream.random.uniform(0.0, 4.0), self.close_if_idle)
        self._read()
