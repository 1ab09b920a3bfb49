"""The one table of codes: of every answer that the sidecar gives itself, what it means and what to do.

A code is what people and programs rely on: it stands in the answer, in the log and in the metrics, and never
changes its meaning. docs/codes.md is made from `TABLE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from authz_sidecar.core.verdicts import Code, FaultCode

Retry = Literal["no", "later", "repeatable"]
"""Whether the same request, sent again as it is, may pass: not before something was mended, after a while, or
after a while if it does no harm that the service may have acted on it already."""


class Meaning(NamedTuple):
    """One row of the table."""

    status: int
    """HTTP status of the answer; 0 where there is none: the request goes on, or the connection is closed."""
    meaning: str
    """When it is given; shown to the client where nothing more is known of the case."""
    mend: str = ""
    retry: Retry = "no"


_SIGN_IN: Final = "Sign in again and send the new token."
_WAIT: Final = "Send it again after `Retry-After`. If it lasts, "

TABLE: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        # forwarded
        Code.SAFE_METHOD: Meaning(0, "a safe method, and no rule names it"),
        Code.ANYONE: Meaning(0, "the rule lets anyone pass"),
        Code.AUTHENTICATED: Meaning(0, "the rule lets every living user pass"),
        Code.GRANTED: Meaning(0, "the user holds what the rule asks for, directly or through a group"),
        Code.OWN: Meaning(0, "what the path names is the user's own, and the rule asks for no more"),
        Code.SUPERUSER: Meaning(0, "the user is a superuser"),
        # refused: the request itself
        Code.BAD_TARGET: Meaning(
            400,
            "two parsers could read the request target differently",
            "Send a plain path: no dot segments, `//`, `\\`, `;`, encoded slashes or control characters.",
        ),
        Code.BAD_HEADER: Meaning(
            400,
            "a header is repeated that may occur once, or `Connection` names one it must not",
            "Send `Authorization` and `Host` once; let `Connection` name neither them, cookies nor framing.",
        ),
        Code.METHOD_OVERRIDE: Meaning(
            400,
            "a header would override the method",
            "Send the method itself, or set `allow_method_override` in the policy.",
        ),
        Code.LOOKS_LIKE_A_HOOK: Meaning(
            400,
            "a safe request says that it stands for one with another method, as a gateway's hook does",
            "The proxied port is no hook (`auth_request`, ForwardAuth, `forward_auth`): let the gateway send "
            "the requests themselves through it.",
        ),
        Code.METHOD_REFUSED: Meaning(
            405, "CONNECT and TRACE are not proxied", "Use one of the methods in `Allow`."
        ),
        Code.METHOD_UNKNOWN: Meaning(
            501, "this method is not implemented", "Use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE."
        ),
        Code.SUBPROTOCOL_MISSING: Meaning(
            400,
            "a WebSocket offers the subprotocol that carries its access token, and no other",
            "Offer at least one that the service knows beside it: browsers close a WebSocket whose service "
            "has chosen none of those that were offered.",
        ),
        # refused: who asks
        Code.TOKEN_MISSING: Meaning(
            401, "the rule needs an access token, and there is none", "Send `Authorization: Bearer …`."
        ),
        Code.TOKEN_INVALID: Meaning(
            401,
            "the access token is malformed, wrongly signed, not yet valid or not made for this service",
            f"{_SIGN_IN} If new ones are refused, too, compare `AUTHZ_JWT_*` with what the issuer writes.",
        ),
        Code.TOKEN_EXPIRED: Meaning(401, "the access token has expired", _SIGN_IN),
        Code.TOKEN_REVOKED: Meaning(401, "this token was ended by signing out everywhere", _SIGN_IN),
        Code.TOKEN_EPOCH: Meaning(401, "this token is of a history of permissions that has ended", _SIGN_IN),
        Code.SUBJECT_UNKNOWN: Meaning(
            401, "there is no such user", "Create the user, or sign in as one who exists."
        ),
        Code.SUBJECT_INACTIVE: Meaning(401, "this user is deactivated", "Activate the user."),
        Code.CROSS_ORIGIN: Meaning(
            403,
            "a change or a WebSocket has its access token in a cookie, and no browser says that a page of "
            "the same origin sent it",
            "Send it from a page of the service, or list that page's origin in `AUTHZ_TOKEN_COOKIE_ORIGINS`. "
            "If it is one of the service: what ends TLS must be in `AUTHZ_TRUSTED_PROXIES` and say "
            "`X-Forwarded-Proto`, and `X-Forwarded-Host` where it changes Host.",
        ),
        # refused: what they may do
        Code.WEBSOCKET_NO_RULE: Meaning(
            403,
            "no rule of the policy lets this WebSocket through",
            "Add a rule for GET on its path, with `anyone` if nobody is to be asked for.",
        ),
        Code.NO_RULE: Meaning(
            403, "no rule allows this", "Add a rule to the policy, if it is to be allowed."
        ),
        Code.PERMISSION_DENIED: Meaning(
            403, "the user lacks the permission that the rule asks for", "Grant it, if it is to be allowed."
        ),
        Code.INSUFFICIENT_SCOPE: Meaning(
            403,
            "the access token may not be used for what the rule is about",
            "Sign in anew and ask for the scopes in `WWW-Authenticate`.",
        ),
        # refused: consistency tokens
        Code.REVISION_MALFORMED: Meaning(
            400,
            "`Authz-Min-Revision` is not one revision token",
            "Send the `Authz-Revision` of an answer of the User service, unchanged.",
        ),
        Code.REVISION_BEYOND_HEAD: Meaning(
            400,
            "`Authz-Min-Revision` names a revision that does not exist",
            "Send the `Authz-Revision` of an answer of the User service, unchanged.",
        ),
        Code.EPOCH_MISMATCH: Meaning(
            412,
            "`Authz-Min-Revision` is of another history of permissions",
            "Forget revisions from before the User service was restored; ask it for a new one.",
        ),
        # refused: not known, which is never "denied"
        Code.NOT_READY: Meaning(
            503,
            "no copy of the permissions has been loaded yet",
            _WAIT + "see at `/status` whether the User service can be reached.",
            "later",
        ),
        Code.STALE: Meaning(
            503,
            "the copy of the permissions is older than `AUTHZ_MAX_STALENESS`",
            _WAIT + "see at `/status` which dependency is down.",
            "later",
        ),
        Code.UNAUDITED: Meaning(
            503,
            "the User service has not compared all of its log with its tables within "
            "`AUTHZ_MAX_AUDIT_AGE`, or does not say when it did",
            _WAIT + "see whether its relay runs and keeps up; the bound should be twice its "
            "`AUTHZ_AUDIT_SECONDS` or more.",
            "later",
        ),
        Code.BEHIND: Meaning(
            503,
            "the revision that the request or its token asks for has not arrived here yet",
            _WAIT
            + "see at `/status` how far the copy is behind, and whether the User service can be reached.",
            "later",
        ),
        Code.GRANTS_UNKNOWN: Meaning(
            503,
            "the permissions of this user cannot be read now",
            _WAIT + "see at `/status` whether the store and the User service can be reached.",
            "later",
        ),
        Code.KEYS_UNKNOWN: Meaning(
            503,
            "the key that signed the access token cannot be asked for now",
            _WAIT + "see whether `AUTHZ_JWKS_URL` can be reached.",
            "later",
        ),
        Code.USER_FIELD_UNKNOWN: Meaning(
            503,
            "the User service does not name its users by what this issuer's tokens name them by",
            "Let `user_field` of the issuer be a field of `AUTHZ_CHANGELOG['SUBJECT']` of the User service: "
            "`check --online` tells which these are.",
            "later",
        ),
        # ended by the byte path: it is no request
        FaultCode.MALFORMED_REQUEST: Meaning(
            400, "this is not a well-formed HTTP/1.1 request", "Send what RFC 9112 allows."
        ),
        FaultCode.TRANSFER_CODING_UNSUPPORTED: Meaning(
            501,
            "Transfer-Encoding can only be chunked, once, in HTTP/1.1",
            "Send the body chunked or with a length.",
        ),
        FaultCode.VERSION_UNSUPPORTED: Meaning(
            505, "only HTTP/1.0 and HTTP/1.1 are spoken here", "Let what is in front translate."
        ),
        FaultCode.HOOK_MALFORMED: Meaning(
            400,
            "a gateway does not say, once and in the configured way, which request it asks about",
            "Configure the gateway as docs/gateways/ says, or `AUTHZ_DECISIONS_SOURCE` as the gateway asks.",
        ),
        FaultCode.NOT_SERVED_HERE: Meaning(
            404,
            "the decisions port answers nothing at this path",
            "Let the gateway ask at `/check`; AuthZEN needs `AUTHZ_DECISIONS_TOKEN`, its metadata "
            "`AUTHZ_DECISIONS_URL`.",
        ),
        FaultCode.QUESTION_MALFORMED: Meaning(
            400, "this is no well-formed question (AuthZEN 1.0)", "Send what the answer's `detail` misses."
        ),
        FaultCode.CREDENTIAL_MISSING: Meaning(
            401,
            "AuthZEN is answered to holders of `AUTHZ_DECISIONS_TOKEN`",
            "Send it: `Authorization: Bearer …`.",
        ),
        # ended by the byte path: it is over a limit
        FaultCode.TARGET_TOO_LONG: Meaning(
            414, "the request target is too long", "Shorten it, or raise `AUTHZ_MAX_TARGET_BYTES`."
        ),
        FaultCode.HEAD_TOO_LARGE: Meaning(
            431,
            "the header fields are too many or too large",
            "Send fewer, or raise `AUTHZ_MAX_HEAD_BYTES` or `AUTHZ_MAX_HEAD_FIELDS`.",
        ),
        FaultCode.BODY_TOO_LARGE: Meaning(
            413,
            "the body is larger than this service takes",
            "Send less, or raise `AUTHZ_MAX_BODY_BYTES`.",
        ),
        FaultCode.REQUEST_TIMEOUT: Meaning(
            408,
            "the request did not arrive in time",
            "Send it faster, or raise `AUTHZ_HEAD_TIMEOUT` or `AUTHZ_BODY_TIMEOUT`.",
            "repeatable",
        ),
        FaultCode.TOO_MANY_CONNECTIONS: Meaning(
            503,
            "there are too many connections",
            _WAIT + "find who holds them, or raise `AUTHZ_MAX_CONNECTIONS`.",
            "later",
        ),
        FaultCode.BUFFERS_FULL: Meaning(
            503,
            "clients have filled what memory there is for them",
            _WAIT + "find who sends much and reads nothing, or raise `AUTHZ_BUFFER_BUDGET`.",
            "later",
        ),
        # ended by the byte path: the service, or we, could not serve it
        FaultCode.UPSTREAM_UNREACHABLE: Meaning(
            502,
            "the service could not be reached",
            "See whether the service listens at `AUTHZ_UPSTREAM` and keeps idle connections longer than "
            "`AUTHZ_UPSTREAM_IDLE_TIMEOUT`.",
            "repeatable",
        ),
        FaultCode.UPSTREAM_TIMEOUT: Meaning(
            504,
            "the service did not answer in time",
            "See what keeps the service, or raise `AUTHZ_RESPONSE_TIMEOUT` or `AUTHZ_CONNECT_TIMEOUT`.",
            "repeatable",
        ),
        FaultCode.SUBPROTOCOL_ECHOED: Meaning(
            502,
            "the service chose the subprotocol that carries the access token, which it was not offered",
            "Let the service choose one of the subprotocols that it is offered.",
        ),
        FaultCode.INTERNAL_ERROR: Meaning(
            500, "the request could not be decided", "See the log of the sidecar, and report it.", "later"
        ),
        # ended by the byte path: closed without an answer
        FaultCode.PROXY_NOT_TRUSTED: Meaning(
            0,
            "`AUTHZ_PROXY_PROTOCOL` is `required`, and the peer is not in `AUTHZ_TRUSTED_PROXIES`",
            "List the balancer there; let clients connect to the balancer.",
        ),
        FaultCode.PROXY_HEADER_MALFORMED: Meaning(
            0,
            "the connection does not begin with a well-formed PROXY header",
            "Let the balancer send one (version 1 or 2).",
        ),
    }
)
"""All codes there are. One in `core.verdicts.FORWARDED` lets a request pass."""
