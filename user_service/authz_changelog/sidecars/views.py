"""The sidecars' API, `/authz/v1/*`. Every answer first brings the log up to date."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from django.db.models import Min
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from authz_changelog.clock import rfc3339
from authz_changelog.marks.watched import Watched
from authz_changelog.models import Entity, Revision
from authz_changelog.revisions import digest, messages
from authz_changelog.sidecars import grants, parameters, snapshot
from authz_changelog.sidecars.calls import Present, bring_up_to_date, present, sidecar_call
from authz_changelog.sidecars.parameters import BIGGEST
from authz_changelog.sidecars.problems import Problem

NDJSON = "application/x-ndjson"
CHANGES_LIMIT = 1000
BUCKETS_LIMIT = 65536
BODY_SIZE = 4 * 1024 * 1024
"""Characters after which `changes` ends early; the caller asks again from there."""


@sidecar_call("GET")
def head(request: HttpRequest) -> HttpResponse:
    with present() as state:
        return _json({**_position(state), "oldest": _oldest(), "now": rfc3339(state.now)})


@sidecar_call("GET")
def changes(request: HttpRequest) -> HttpResponse:
    """The revisions after `after`, in order; 410 when they cannot be told from there."""
    epoch = parameters.epoch(request.GET)
    after = parameters.integer(request.GET, "after", 0, BIGGEST)
    limit = parameters.integer(request.GET, "limit", 1, BIGGEST, default=CHANGES_LIMIT)
    at = parameters.instant(request.GET)
    with present() as state:
        if state.head.epoch != epoch:
            raise _gone(state, f"the epoch is {state.head.epoch}")
        if after > state.head.revision:
            raise _gone(state, f"the head is {state.head.revision}")
        if after + 1 < _oldest():
            raise _gone(state, f"the log begins at {_oldest()}")
        if at is not None and not Revision.objects.filter(pk=after, at=at).exists():
            raise _gone(state, f"revision {after} is not of {rfc3339(at)}")
        body = _changes(state, after, min(limit, CHANGES_LIMIT))
    response = HttpResponse(body, content_type=NDJSON)
    response.headers["Authz-Head"] = str(state.head.revision)
    response.headers["Authz-Now"] = rfc3339(state.now)
    return response


@sidecar_call("GET")
def whole_state(request: HttpRequest) -> StreamingHttpResponse:
    """The snapshot, or one bucket of it."""
    buckets = parameters.integer(request.GET, "buckets", 1, BUCKETS_LIMIT, default=1)
    bucket = parameters.integer(request.GET, "bucket", 0, buckets - 1, default=None if buckets > 1 else 0)
    bring_up_to_date()
    return StreamingHttpResponse(snapshot.lines(buckets, bucket), content_type=NDJSON)


@sidecar_call("GET")
def digests(request: HttpRequest) -> HttpResponse:
    """What `digest.py` specifies, for each bucket in order."""
    count = parameters.integer(request.GET, "buckets", 1, BUCKETS_LIMIT)
    with present() as state:
        return _json({**_position(state), "buckets": [bucket.json() for bucket in digest.buckets(count)]})


@sidecar_call("GET")
def subject(request: HttpRequest, sub: str) -> HttpResponse:
    with present() as state:
        held = grants.of(sub)
        position = {**_position(state), "at": rfc3339(state.head.newest.at)}
    if held is None:
        detail = "There is no such user."
        raise Problem(HTTPStatus.NOT_FOUND, "unknown_subject", detail, sub=sub, **position)
    body = {
        **position,
        "sub": sub,
        "active": held.state["active"],
        "superuser": held.state["superuser"],
        "permissions": sorted(held.permissions),
        "token_generation": held.state["token_generation"],
        "entities": [_entity(entity) for entity in held.entities],
    }
    return _json(body)


@sidecar_call("POST")
def check(request: HttpRequest) -> HttpResponse:
    """Request-based validation."""
    sub, permission, token_generation = parameters.question(request)
    with present() as state:
        allowed, reason = grants.decide(grants.of(sub), permission, token_generation)
    return _json({"allowed": allowed, "reason": reason, **_position(state)})


@sidecar_call("GET")
def permissions(request: HttpRequest) -> HttpResponse:
    """The labels that exist."""
    rows = Watched().permission._base_manager.values_list("content_type__app_label", "codename").distinct()
    return _json({"permissions": sorted({f"{app_label}.{codename}" for app_label, codename in rows})})


def _changes(state: Present, after: int, limit: int) -> str:
    lines: list[str] = []
    size = 0
    following = Revision.objects.filter(pk__gt=after).order_by("pk")[:limit]
    for revision in following.iterator(chunk_size=100):
        lines.append(f"{messages.change(state.head.epoch, revision)}\n")
        size += len(lines[-1])
        if size > BODY_SIZE:
            break
    return "".join(lines)


def _entity(entity: Entity) -> dict[str, Any]:
    state = json.loads(entity.state)
    return {"kind": entity.kind, "key": entity.key, "revision": entity.revision, "state": state}


def _oldest() -> int:
    return Revision.objects.aggregate(oldest=Min("revision"))["oldest"]


def _position(state: Present) -> dict[str, Any]:
    return {"epoch": str(state.head.epoch), "revision": state.head.revision}


def _gone(state: Present, detail: str) -> Problem:
    detail = f"The log cannot go on from there: {detail}. Take a snapshot."
    return Problem(HTTPStatus.GONE, "history_gone", detail, **_position(state), oldest=_oldest())


def _json(body: dict[str, Any]) -> JsonResponse:
    return JsonResponse(body, json_dumps_params={"ensure_ascii": False, "separators": (",", ":")})
