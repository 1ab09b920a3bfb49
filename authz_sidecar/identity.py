"""Who asks, told to the service in headers that nobody else can set.

A client's own `X-Authz-…` fields never pass, in any spelling (`core.fields`). Values are percent-encoded
UTF-8, so that whatever an identity provider calls its users stays one harmless line. The token says the same,
signed: for a service that others on its network could reach past the sidecar.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from authz_sidecar.config.identity import NAMES, IdentitySettings, Part
from authz_sidecar.core.fields import FieldList
from authz_sidecar.core.remembered import Remembered
from authz_sidecar.core.verdicts import Code, Decision

TOKEN_SECONDS: Final = 60
"""How long a token is good, at most; it is made anew every quarter of it."""
ISSUER: Final = "authz-sidecar"
TYPE: Final = "authz-identity+jwt"
REMEMBERED_BYTES: Final = 1024 * 1024
_AS_THEY_ARE: Final = "!$&'*+./:=@^_`|~-"


class _Said(NamedTuple):
    """What one token says."""

    subject: str
    name: str
    revision: str
    issued_at: int


class IdentityHeaders:
    """Makes the fields. `audience`: the service's name in access tokens, and in these."""

    def __init__(self, settings: IdentitySettings, audience: str, wall: Callable[[], float]) -> None:
        self.names = frozenset(NAMES[part].lower().encode() for part in settings.parts)
        """In lower case."""
        self._parts = settings.parts
        self._key = (settings.key or "").encode()
        self._audience = audience
        self._wall = wall
        self._tokens = Remembered(self._signed, REMEMBERED_BYTES)

    def for_service(self, decision: Decision) -> FieldList:
        """To be sent upstream: what is known; nothing where nobody is."""
        return [(NAMES[part].encode(), value) for part, value in self._values(decision) if value]

    def for_gateway(self, decision: Decision) -> FieldList:
        """Each that is configured, empty where nobody is: a gateway may keep its client's own otherwise."""
        return [(NAMES[part].encode(), value) for part, value in self._values(decision)]

    def _values(self, decision: Decision) -> list[tuple[Part, bytes]]:
        identity, position = decision.identity, decision.verdict.position
        if identity is None or not _is_alive(decision):
            return [(part, b"") for part in self._parts]
        revision = "" if position is None else str(position.token)
        said = _Said(identity.subject, identity.name, revision, self._quarter())
        return [(part, self._value(part, said)) for part in self._parts]

    def _value(self, part: Part, said: _Said) -> bytes:
        if part == "token":
            return self._tokens[said]
        plain = {"subject": said.subject, "name": said.name, "revision": said.revision}[part]
        return quote(plain, safe=_AS_THEY_ARE).encode("ascii")

    def _quarter(self) -> int:
        return int(self._wall()) // (TOKEN_SECONDS // 4) * (TOKEN_SECONDS // 4)

    def _signed(self, said: _Said) -> bytes:
        """A JSON Web Token (RFC 7519) with the algorithm HS256."""
        claims = {
            "iss": ISSUER,
            "aud": self._audience,
            "sub": said.subject,
            "name": said.name,
            "authz_rev": said.revision,
            "iat": said.issued_at,
            "exp": said.issued_at + TOKEN_SECONDS,
        }
        signed = _encoded({"alg": "HS256", "typ": TYPE}) + b"." + _encoded(claims)
        return signed + b"." + _base64(hmac.digest(self._key, signed, hashlib.sha256))


def _is_alive(decision: Decision) -> bool:
    """Whether the holder of the token was found to be a user who may act, whatever about this request."""
    return decision.verdict.allowed or decision.verdict.code is Code.PERMISSION_DENIED


def _encoded(part: dict[str, object]) -> bytes:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
