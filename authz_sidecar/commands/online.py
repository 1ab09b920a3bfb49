"""What can be told only by asking others: the User service, its keys, a sidecar, the web."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from authz_sidecar.authn.key_set import KeySet
from authz_sidecar.authn.keys import fetch, published
from authz_sidecar.config.findings import Finding, Kind
from authz_sidecar.config.issuer import Issuer, user_fields
from authz_sidecar.config.table import Settings
from authz_sidecar.core import naming
from authz_sidecar.core.errors import MalformedMessage, Unavailable
from authz_sidecar.core.rules import Rule
from authz_sidecar.process import SystemClock
from authz_sidecar.reasons import reason
from authz_sidecar.source import UserServiceClient

FETCH_SECONDS = 30.0


async def findings(settings: Settings, issuers: Sequence[Issuer], rules: Iterable[Rule]) -> list[Finding]:
    """Whether the User service answers us, knows the permissions that rules name, and has keys for us."""
    timeout = ClientTimeout(total=settings.user_service.timeout)
    async with ClientSession(timeout=timeout, cookie_jar=DummyCookieJar()) as session:
        source = settings.user_service
        client = UserServiceClient(
            session, source.url, source.token, SystemClock(), answer_seconds=source.timeout
        )
        found = [each async for each in _user_service(client, rules, issuers)]
        place = "AUTHZ_JWKS_URL" if settings.jwt.issuers_path is None else "AUTHZ_ISSUERS_FILE"
        for issuer in issuers:
            found += [each async for each in _keys(session, issuer, place)]
        return found


async def _user_service(
    client: UserServiceClient, rules: Iterable[Rule], issuers: Sequence[Issuer]
) -> AsyncIterator[Finding]:
    try:
        head = await client.head()
        existing = await client.permissions()
    except (Unavailable, MalformedMessage) as error:
        yield Finding(Kind.USER_SERVICE, "AUTHZ_USER_SERVICE", str(error))
        return
    fields = naming.agreed(head.subject_fields, user_fields(issuers))
    for issuer in issuers:
        if lacking := naming.missing(fields, user_fields([issuer])):
            message = f"{issuer.issuer}: {lacking}: its tokens are refused with 503 user_field_unknown"
            yield Finding(Kind.USER_FIELD, "AUTHZ_ISSUERS_FILE", message)
    places: dict[str, str] = {}
    for rule in rules:
        for label in rule.requirement.permissions:
            places.setdefault(label, rule.place)
    for label, place in places.items():
        if label not in existing:
            message = f"the User service knows no permission {label}: nobody holds it"
            yield Finding(Kind.UNKNOWN_PERMISSION, place, message)


async def _keys(session: ClientSession, issuer: Issuer, place: str) -> AsyncIterator[Finding]:
    try:
        keys = KeySet.parse(await published(session, issuer))
    except (Unavailable, MalformedMessage) as error:
        yield Finding(Kind.KEYS, place, f"{issuer.keys_place}: {error}")
        return
    if not any(algorithm in issuer.algorithms for _, algorithm in keys.keys):
        accepted = ", ".join(sorted(issuer.algorithms))
        message = f"{issuer.keys_place}: none of its keys is for {accepted}, which are accepted"
        yield Finding(Kind.KEYS, place, message)


async def download(url: str, max_bytes: int) -> bytes:
    """Raises Unavailable, or MalformedMessage when there is too much of it."""
    async with ClientSession(timeout=ClientTimeout(total=FETCH_SECONDS)) as session:
        return await fetch(session, url, max_bytes)


async def ask(url: str, credential: str, question: Mapping[str, str]) -> dict[str, Any]:
    """Put a question to the admin port of a running sidecar. Raises Unavailable or MalformedMessage."""
    headers = {"Authorization": f"Bearer {credential}"}
    async with ClientSession(timeout=ClientTimeout(total=FETCH_SECONDS)) as session:
        try:
            async with session.post(url, json=question, headers=headers, allow_redirects=False) as response:
                answer = await response.text()
        except (ClientError, OSError) as error:
            raise Unavailable(f"{url}: {reason(error)}") from error
    if response.status != 200:
        raise Unavailable(f"{url} answered {response.status}: {answer.strip()[:500]}")
    try:
        found = json.loads(answer)
    except ValueError:
        raise MalformedMessage(f"{url}: the answer is not JSON") from None
    if not isinstance(found, dict):
        raise MalformedMessage(f"{url}: the answer is no explanation")
    return found
