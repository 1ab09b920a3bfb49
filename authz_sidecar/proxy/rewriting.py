"""What becomes of a request and of an answer on their way: what is decided on, and what is sent on."""

from __future__ import annotations

from authz_sidecar import answers
from authz_sidecar.answers import Answer
from authz_sidecar.core import origins
from authz_sidecar.core.verdicts import Decision, RequestHead
from authz_sidecar.proxy import framing
from authz_sidecar.proxy.client import Client
from authz_sidecar.proxy.messages import CHUNKED, IncomingRequest
from authz_sidecar.proxy.shared import Shared


def decided_on(client: Client, request: IncomingRequest) -> RequestHead:
    """All of a request that a decision may depend on, where its token may be in another place."""
    fields, upgrade = request.fields, request.upgrade
    origin = origins.addressed(fields, client.scheme, trusted=client.trusted)
    return RequestHead(request.method, request.target, fields, client.peer, upgrade, origin)


def request_beginning(shared: Shared, client: Client, request: IncomingRequest, decision: Decision) -> bytes:
    """What goes upstream first: the head of a request that is let through, and what is here of its body."""
    sent_on = client.forwarded(request.fields, decision.request_id)
    if shared.token_places is not None:
        sent_on = shared.token_places.without(sent_on)
    if shared.identity is not None:
        sent_on += shared.identity.for_service(decision)
    head = framing.request_head(request, sent_on, shared.pool.authority)
    return head + framing.arrived(request, chunked=request.framing is CHUNKED)


def own_answer(
    answer: Answer, request: IncomingRequest, readers: frozenset[str], hop: tuple[bytes, ...]
) -> bytes:
    """An answer in the service's stead, as this client wants it. `readers`: origins that may read it."""
    if readers or b"accept" in request.fields.known:
        answer = answers.addressed(answer, request.fields, readers)
    head = framing.answer_head(answer, [], hop)
    return head if request.method == "HEAD" else head + answer.body
