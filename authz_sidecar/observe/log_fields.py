"""The fields of the decision log's lines, in their order. docs/decision-log.md is made from these."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DECISION_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "type": "`decision`",
        "at": "when it was decided (RFC 3339, UTC), as in every other log line",
        "request_id": "the client's `X-Request-Id` if it is harmless, else ours; the service gets it, too",
        "subject": "the user, as the verified token names it; null before a token was verified",
        "issuer": "who issued the token; null before a token was verified",
        "user_field": "what of the User service's users the subject names, as the issuer says; null where it "
        "does not say",
        "token_generation": "the token's `authz_gen`; null without one",
        "kid": "the key that the token was verified with; null before a token was verified",
        "method": "the request's method",
        "target": "its target without the query, which may hold secrets; what looks like a token is left out",
        "websocket": "true when it asked to go on as WebSocket",
        "host": "the host that it named, in lower case and without port; null where no rule names hosts",
        "rule": "the policy's rule that matched, like `POST /students/`; null when none did",
        "quantifier": "what the rule asks for: `anyone`, `authenticated`, or `any` or `all` of `permissions` "
        "and `own`",
        "permissions": "the permissions that the rule names",
        "own": "the parameter of the path that is to name the asker, by the rule; null without one",
        "own_claim": "the claim that it is compared with; null: the subject",
        "scopes": "the scopes that the rule asks for",
        "max_staleness": "seconds: the rule's own bound; null without one",
        "policy": "digest of the policy that decided, as `authz-sidecar check` prints it",
        "owns": "whether `own` names the asker; null where that was not asked",
        "outcome": "`allowed` or `refused`: the verdict, in shadow mode, too",
        "enforced": "false in shadow mode, or by a rule in it: a refused request was forwarded all the same",
        "revoking": "true when it ended a request that an earlier decision had let through",
        "status": "HTTP status of the refusal; 0 when the request was forwarded",
        "code": "the code of the verdict ([codes](codes.md))",
        "detail": "what the refused client is told beyond the code",
        "epoch": "the history of permissions it was decided by; null where none was asked",
        "revision": "the revision at which the verdict is exactly right",
        "revision_at": "when the User service made that revision",
        "staleness": "seconds since the newest proof that the copy was fresh; null without one",
    }
)

FAILURE_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "type": "`failure`",
        "at": "as above",
        "request_id": "as above",
        "status": "HTTP status of the answer; 0 when the connection was closed without one",
        "code": "why the byte path ended the request ([codes](codes.md))",
        "peer": "address of the client, or of the proxy in front where nobody better is known",
        "detail": "what is known of this case beyond the code: of the service, its address and what it did",
    }
)

RETRY_FIELDS: Mapping[str, str] = MappingProxyType(
    {"type": "`retry`", "at": "when the connection had ended", "request_id": "as above"}
)

ANSWER_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "type": "`answer`",
        "at": "when the request had ended",
        "request_id": "as above: that of its decision or failure",
        "status": "what the client was sent; 499: it left before; 101: a WebSocket, which has ended now",
        "seconds": "since the request arrived",
        "peer": "as above",
    }
)
