"""The sidecars' API, `/authz/v1/*`. Every answer first brings the log up to date.

What it says was then committed, and is all that was, or it is 503 with the reason. Who asks with
`proof=optional` is answered all the same; `Authz-Unproved` then says why there may be more. With
`Authz-Proved: losses` beside it only what somebody has gained may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.http import HttpResponse, StreamingHttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from authz_changelog import clock, conf
from authz_changelog.clock import rfc3339
from authz_changelog.history import deciding
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity, Head, Revision
from authz_changelog.revisions import audit, digest, messages
from authz_changelog.revisions.present import Present, bring_up_to_date, present
from authz_changelog.sidecars import grants, problems, snapshot
from authz_changelog.sidecars.authentication import ServiceTokenAuthentication
from authz_changelog.sidecars.parameters import (
    CHANGES_LIMIT,
    ChangesQuery,
    DigestQuery,
    HistoryQuery,
    ProofQuery,
    Question,
    SnapshotQuery,
)

NDJSON = "application/x-ndjson"
BODY_SIZE = 4 * 1024 * 1024
"""Characters after which `changes` ends early; the caller asks again from there."""


class IgnoreClientContentNegotiation(BaseContentNegotiation):
    """Each call has one form of answer, whatever the caller accepts."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


# A run of the sequencer needs transactions of its own, never the request's.
@method_decorator((transaction.non_atomic_requests, never_cache), name="dispatch")
class SidecarView(APIView):
    """What the calls have in common, independent of the project's settings for its own API."""

    http_method_names = ("get", "post")
    authentication_classes = (ServiceTokenAuthentication,)
    permission_classes = ()
    throttle_classes = ()
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = IgnoreClientContentNegotiation
    schema = None
    unproved = ""
    """Why the answer proves nothing."""

    @contextmanager
    def present(self, request: Request) -> Iterator[Present]:
        """The log as it is: proved, unless the caller can do without."""
        with present(proof=_needs_proof(request)) as state:
            self.unproved = state.unproved
            yield state

    def finalize_response(
        self, request: Request, response: Response, *arguments: Any, **options: Any
    ) -> Response:
        if self.unproved:
            response.headers["Authz-Unproved"] = self.unproved
        return super().finalize_response(request, response, *arguments, **options)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return problems.exception_handler


def _needs_proof(request: Request) -> bool:
    query = _validated(ProofQuery, request.query_params.dict())
    return bool(query["proof"] == "required")


def _contract(request: Request) -> int:
    """The version of the contract that the caller speaks; who names none that we know speaks the first."""
    named = request.headers.get("Authz-Contract", "")
    return messages.NEWEST if named == str(messages.NEWEST) else 1


def _validated(form: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    """The parameters of a call; raises `ValidationError`."""
    parameters = form(data=data)
    parameters.is_valid(raise_exception=True)
    validated: dict[str, Any] = parameters.validated_data
    return validated


class HeadView(SidecarView):
    def get(self, request: Request) -> Response:
        audit.in_passing()
        with self.present(request) as state:
            told = _subject_fields(state.head, _contract(request))
            return Response({**_position(state), "oldest": _oldest(), **_audit(state), **told})


class ChangesView(SidecarView):
    """The revisions after `after`, in order; 410 when they cannot be told from there."""

    def get(self, request: Request) -> HttpResponse:
        query = _validated(ChangesQuery, request.query_params.dict())
        audit.in_passing()
        with self.present(request) as state:
            _refuse_other_history(state, query)
            body = _changes(state, query, _contract(request))
        headers = {"Authz-Head": str(state.head.revision), "Authz-Now": rfc3339(state.now)}
        if state.unproved and state.losses:
            headers["Authz-Proved"] = "losses"
        if state.audited_at is not None:
            headers["Authz-Audited-At"] = rfc3339(state.audited_at)
        for fields in _subject_fields(state.head, _contract(request)).values():
            headers["Authz-Subject-Fields"] = json.dumps(fields)
        return HttpResponse(body, content_type=NDJSON, headers=headers)


class SnapshotView(SidecarView):
    """The whole state, or one bucket of it."""

    def get(self, request: Request) -> StreamingHttpResponse:
        query = _validated(SnapshotQuery, request.query_params.dict())
        now = clock.now()
        audited_at = audit.audited_at(now)
        self.unproved = bring_up_to_date(proof=_needs_proof(request))
        lines = snapshot.lines(now, audited_at, **query, contract=_contract(request))
        return StreamingHttpResponse(lines, content_type=NDJSON)


class DigestView(SidecarView):
    """What `digest.py` specifies, for each bucket in order."""

    def get(self, request: Request) -> Response:
        query = _validated(DigestQuery, request.query_params.dict())
        with self.present(request) as state:
            buckets = [bucket.json() for bucket in digest.buckets(query["buckets"], _contract(request))]
            return Response({**_position(state), "buckets": buckets})


class SubjectView(SidecarView):
    def get(self, request: Request, sub: str) -> Response:
        contract = _contract(request)
        with self.present(request) as state:
            held = grants.of(sub)
            position = {**_position(state), "at": rfc3339(state.head.newest.at)}
        if held is None:
            raise problems.UnknownSubject(sub=sub, **position)
        body = {
            **position,
            "sub": sub,
            "active": held.state["active"],
            "superuser": held.state["superuser"],
            "permissions": sorted(held.permissions),
            "token_generation": held.state["token_generation"],
            "entities": [_entity(entity, contract) for entity in held.entities],
        }
        return Response(body)


class CheckView(SidecarView):
    """Request-based validation."""

    def post(self, request: Request) -> Response:
        question = _validated(Question, request.data)
        with self.present(request) as state:
            held = grants.of(question.pop("sub"))
            allowed, reason = grants.decide(held, **question)
        return Response({"allowed": allowed, "reason": reason, **_position(state)})


class HistoryView(SidecarView):
    """Who changed what decides about a user: to explain a decision, never to make one."""

    def get(self, request: Request) -> Response:
        query = _validated(HistoryQuery, request.query_params)
        with self.present(request) as state:
            changes, whole = deciding.changes(query["sub"], query["permission"])
        return Response({**_position(state), "sub": query["sub"], "whole": whole, "changes": changes})


class PermissionsView(SidecarView):
    """The labels that exist."""

    def get(self, request: Request) -> Response:
        permissions = Watched().permission._base_manager
        rows = permissions.values_list("content_type__app_label", "codename").distinct()
        return Response({"permissions": sorted({f"{app_label}.{codename}" for app_label, codename in rows})})


def _refuse_other_history(state: Present, query: dict[str, Any]) -> None:
    after, at = query["after"], query["at"]
    if state.head.epoch != query["epoch"]:
        raise _gone(state, f"the epoch is {state.head.epoch}")
    if after > state.head.revision:
        raise _gone(state, f"the head is {state.head.revision}")
    if after + 1 < _oldest():
        raise _gone(state, f"the log begins at {_oldest()}")
    if at is not None and not Revision.objects.filter(pk=after, at=at).exists():
        raise _gone(state, f"revision {after} is not of {rfc3339(at)}")


def _changes(state: Present, query: dict[str, Any], contract: int) -> str:
    lines: list[str] = []
    size = 0
    limit = min(query["limit"], CHANGES_LIMIT)
    following = Revision.objects.filter(pk__gt=query["after"]).order_by("pk")[:limit]
    for revision in following.iterator(chunk_size=100):
        lines.append(f"{messages.change(state.head.epoch, revision, contract)}\n")
        size += len(lines[-1])
        if size > BODY_SIZE:
            break
    return "".join(lines)


def _subject_fields(head: Head, contract: int) -> dict[str, list[str]]:
    """The fields by which the log names users in this epoch, the main one first."""
    return {} if contract == 1 else {"subject_fields": head.subject_fields}


def _entity(entity: Entity, contract: int) -> dict[str, Any]:
    return {
        "kind": entity.kind,
        "key": entity.key,
        "revision": entity.revision,
        "state": json.loads(messages.known(entity.state or "null", contract)),
    }


def _oldest() -> int:
    oldest: int = Revision.objects.aggregate(oldest=Min("revision"))["oldest"]
    return oldest


def _position(state: Present) -> dict[str, Any]:
    return {"epoch": str(state.head.epoch), "revision": state.head.revision}


def _audit(state: Present) -> dict[str, Any]:
    """When all of the log had been compared with the tables, how often that is done, what it has found."""
    return {
        "now": rfc3339(state.now),
        "audited_at": None if state.audited_at is None else rfc3339(state.audited_at),
        "audit_seconds": conf.current().audit_seconds,
        "audit_found": audit.found(),
    }


def _gone(state: Present, reason: str) -> problems.HistoryGone:
    detail = f"The log cannot go on from there: {reason}. Take a snapshot."
    return problems.HistoryGone(detail, **_position(state), oldest=_oldest())
