"""What a request and a client's connection are in the middle of, and what may follow.

A request and its answer
------------------------
The request goes up while its answer comes down, and neither waits for the other: a service may answer before
it has read a body, a client may leave, a permission may be revoked at any moment. What an event means depends
on what the exchange is in the middle of, which is always exactly one of these:

    DECIDING     nothing goes up: the pipeline decides, or waits for what it lacks
    CONNECTING   let through; a connection to the service is awaited
    SENDING      the request goes up as it arrives; nothing has come down
    AWAITING     all of the request is up; nothing has come down
    CROSSING     the answer comes down while the request still goes up
    RELAYING     all of the request is up, and the answer comes down
    SWITCHED     a 101 has come down: the bytes are a tunnel's, but the permission can still be revoked
    OVER         answered or given up; whatever else is heard changes nothing

Two ways lead back, each only once, because a kept connection may turn out to have ended. Before it was handed
the first byte of the request, what had been written to it goes over another one. Afterwards, until a byte of
the answer has come, nobody knows whether the service has seen the request: one that does no harm when it is
sent twice is decided again, and goes over a new connection.

How an exchange ends before its time depends on what client and service have seen of it:

* Until the answer has begun to come down, the client is told why, by an answer of our own. Afterwards only a
  reset leaves no doubt that it does not have the whole answer.
* While the request goes up, an end resets the connection to the service: half a request must not be taken for
  a whole one. Once all of it is up the service may have acted, and only its own answer is true. If the
  permission is gone by then, that answer is still relayed, but one that takes long is cut.
* A connection to the service is kept only after RELAYING: both messages went over it in full.

A client's connection
---------------------
Requests may arrive ahead of their turn; they are served one at a time, in order:

    HEAD         the head of a request is due: the connection is new, or a head has begun to arrive
    IDLE         nothing is under way, and nothing has begun to arrive
    SERVING      one request is under way; what follows it waits
    TUNNEL       HTTP is over, bytes go both ways
    LINGERING    the last answer is written, and what the client still sends is discarded: after a reset it
                 could not read that answer
    CLOSING      nothing more is read; what is written is being sent
    CLOSED       the transport has gone

The state says whose turn it is, and so which silence is limited: the client's in HEAD, IDLE, LINGERING, and
in SERVING only while a body is awaited from it; whoever reads nothing is limited in every state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final


class ExchangeState(Enum):
    """What an exchange is in the middle of."""

    DECIDING = auto()
    CONNECTING = auto()
    SENDING = auto()
    AWAITING = auto()
    CROSSING = auto()
    RELAYING = auto()
    SWITCHED = auto()
    OVER = auto()


class ClientState(Enum):
    """What a client's connection is in the middle of."""

    HEAD = auto()
    IDLE = auto()
    SERVING = auto()
    TUNNEL = auto()
    LINGERING = auto()
    CLOSING = auto()
    CLOSED = auto()


# By these names, because an enumeration looks its members up each time they are named.
DECIDING: Final = ExchangeState.DECIDING
CONNECTING: Final = ExchangeState.CONNECTING
SENDING: Final = ExchangeState.SENDING
AWAITING: Final = ExchangeState.AWAITING
CROSSING: Final = ExchangeState.CROSSING
RELAYING: Final = ExchangeState.RELAYING
SWITCHED: Final = ExchangeState.SWITCHED
OVER: Final = ExchangeState.OVER

HEAD: Final = ClientState.HEAD
IDLE: Final = ClientState.IDLE
SERVING: Final = ClientState.SERVING
TUNNEL: Final = ClientState.TUNNEL
LINGERING: Final = ClientState.LINGERING
CLOSING: Final = ClientState.CLOSING
CLOSED: Final = ClientState.CLOSED

AFTER: Final[Mapping[ExchangeState, frozenset[ExchangeState]]] = MappingProxyType(
    {
        DECIDING: frozenset({CONNECTING, SENDING, AWAITING, OVER}),
        CONNECTING: frozenset({SENDING, AWAITING, OVER}),
        SENDING: frozenset({CONNECTING, AWAITING, CROSSING, OVER}),
        AWAITING: frozenset({DECIDING, CONNECTING, RELAYING, SWITCHED, OVER}),
        CROSSING: frozenset({RELAYING, OVER}),
        RELAYING: frozenset({OVER}),
        SWITCHED: frozenset({OVER}),
        OVER: frozenset(),
    }
)
"""What may follow in an exchange. The tests hold every exchange to it."""

CLIENT_AFTER: Final[Mapping[ClientState, frozenset[ClientState]]] = MappingProxyType(
    {
        HEAD: frozenset({SERVING, CLOSING, CLOSED}),
        IDLE: frozenset({HEAD, SERVING, CLOSING, CLOSED}),
        SERVING: frozenset({IDLE, TUNNEL, LINGERING, CLOSING, CLOSED}),
        TUNNEL: frozenset({CLOSING, CLOSED}),
        LINGERING: frozenset({CLOSING, CLOSED}),
        CLOSING: frozenset({CLOSED}),
        CLOSED: frozenset(),
    }
)
"""What may follow in a client's connection. The tests hold every connection to it."""
