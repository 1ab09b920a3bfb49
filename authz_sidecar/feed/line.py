"""A line between two processes of one sidecar: messages in their order, and questions with their answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final, cast

from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.feed.messages import Lines, Message, encode

MAX_UNREAD: Final = 4 * 1024 * 1024
"""Bytes that may wait for the other side to read them; then the line is cut."""

Answering = Callable[[Message], Coroutine[Any, Any, Message]]

logger = logging.getLogger(__name__)


class Line(asyncio.Protocol):
    """One end. `heard` is called with each message in its order; it may raise MalformedMessage."""

    def __init__(
        self, heard: Callable[[Message], None], answering: Answering, lost: Callable[[], None]
    ) -> None:
        """`answering` answers a question; `lost` is called when the line has ended."""
        self._heard = heard
        self._answering = answering
        self._lost = lost
        self._lines = Lines()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None

    def send(self, message: Message) -> None:
        """Never waits: who does not read is cut off, and begins anew."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNREAD:
            logger.warning("a process of this sidecar reads too slowly: its line is cut")
            transport.abort()
            return
        transport.write(encode(message))

    async def ask(self, question: Message) -> Message:
        """Raises Unavailable when the line ends before the answer comes."""
        if self._transport is None or self._transport.is_closing():
            raise Unavailable("the line is cut")
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self.send({"type": "question", "id": number, "question": question})
            answered: Message = await answer
            return answered
        finally:
            del self._asked[number]

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._lines.feed(data):
                self._take(message)
        except (MalformedMessage, LookupError, TypeError, ValueError) as error:
            logger.error("a process of this sidecar is not understood, its line is cut: %s", error)
            self.cut()

    def connection_lost(self, _error: Exception | None) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(Unavailable("the line was cut"))
        for task in self._answers:
            task.cancel()
        self._lost()

    def _take(self, message: Message) -> None:
        if message["type"] == "answer":
            answer = self._asked.get(message["id"])
            if answer is not None and not answer.done():  # whoever asked may have gone
                answer.set_result(message["answer"])
        elif message["type"] == "question":
            task = asyncio.get_running_loop().create_task(self._answer(message["id"], message["question"]))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
        else:
            self._heard(message)

    async def _answer(self, number: int, question: Message) -> None:
        try:
            self.send({"type": "answer", "id": number, "answer": await self._answering(question)})
        except Exception:  # a defect of ours must not leave the other side waiting
            logger.exception("a process of this sidecar cannot be answered: its line is cut")
            self.cut()
