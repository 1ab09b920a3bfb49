"""What is asked of a request and what is answered: questions, codes, verdicts, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from authz_sidecar.core.entities import Position, RevisionToken
from authz_sidecar.core.fields import Fields


class RequestHead(NamedTuple):
    """A request as it arrived, before anything was believed about it."""

    method: str
    target: bytes
    fields: Fields
    peer: str
    upgrade: bool = False
    """It asks to go on as WebSocket."""
    origin: bytes = b""
    """Which it was sent to, as browsers write an `Origin`; empty: not known, or asked by nobody."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified token says. `expires_at`, `not_before` and `issued_after` are Unix seconds."""

    subject: str
    key_id: str
    expires_at: float
    """When it is good no more: `exp` and the leeway."""
    not_before: float | None
    token_generation: int | None
    min_revision: RevisionToken | None
    issued_after: float = float("-inf")
    """Without a generation: it was issued later than this, `iat` less the leeway. Nobody knows: `-inf`."""
    scopes: frozenset[str] = frozenset()
    """What the token may be used for, as far as it says."""
    claims: bytes = b""
    """All that it says, as JSON: read by the few rules that ask for more than the above."""
    name: str = ""
    """What people call the user, as far as the token says it."""
    issuer: str = ""
    """Who says so."""
    user_field: str | None = None
    """What of the User service's users the subject names; `None`: whatever its log names them by first."""


UNBOUNDED = float("inf")


Quantifier = Literal["anyone", "authenticated", "any", "all"]


@dataclass(frozen=True, slots=True)
class Own:
    """A parameter of the path must name the asker: their subject, or what a claim of their token says."""

    parameter: str
    claim: str | None = None

    def __str__(self) -> str:
        return f"own {self.parameter}" if self.claim is None else f"own {self.parameter} ({self.claim})"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a rule demands: nobody in particular, any living user, or any/all of some permissions.

    `own` is enough by itself beside any of the permissions, and needed beside all of them. Each of the scopes
    is needed in any case. No permission that a user holds, and no superuser's rights, stand in for these.
    """

    quantifier: Quantifier
    permissions: tuple[str, ...] = ()
    own: Own | None = None
    scopes: tuple[str, ...] = ()
    max_staleness: float = UNBOUNDED
    """Seconds; counts where it is smaller than the sidecar's own bound."""

    def __str__(self) -> str:
        scopes = f" with scope {' '.join(self.scopes)}" if self.scopes else ""
        return self._who() + scopes

    def _who(self) -> str:
        wanted = self.permissions if self.own is None else (*self.permissions, str(self.own))
        if not wanted:
            return self.quantifier
        return wanted[0] if len(wanted) == 1 else f"{self.quantifier}({', '.join(wanted)})"


class Question(NamedTuple):
    """Everything the authorize step decides on; nothing else may influence the answer."""

    identity: Identity
    requirement: Requirement
    min_revision: RevisionToken | None
    owns: bool = False
    """Whether what `Requirement.own` is about is the asker's."""


class Code(StrEnum):
    """The stable codes of decisions; `codes.TABLE` says of each what it means and its HTTP status."""

    __hash__ = str.__hash__  # an enumeration's own is written in Python, and every decision looks codes up

    # forwarded
    SAFE_METHOD = "safe_method"
    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    OWN = "own"
    GRANTED = "granted"
    SUPERUSER = "superuser"
    # refused: the request itself
    BAD_TARGET = "bad_target"
    BAD_HEADER = "bad_header"
    METHOD_OVERRIDE = "method_override"
    LOOKS_LIKE_A_HOOK = "looks_like_a_hook"
    METHOD_REFUSED = "method_refused"
    METHOD_UNKNOWN = "method_unknown"
    SUBPROTOCOL_MISSING = "subprotocol_missing"
    # refused: who asks
    TOKEN_MISSING = "token_missing"  # noqa: S105 (a refusal code, not a password)
    TOKEN_INVALID = "token_invalid"  # noqa: S105 (a refusal code, not a password)
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 (a refusal code, not a password)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 (a refusal code, not a password)
    TOKEN_EPOCH = "token_epoch"  # noqa: S105 (a refusal code, not a password)
    SUBJECT_UNKNOWN = "subject_unknown"
    SUBJECT_INACTIVE = "subject_inactive"
    CROSS_ORIGIN = "cross_origin"
    # refused: what they may do
    NO_RULE = "no_rule"
    WEBSOCKET_NO_RULE = "websocket_no_rule"
    PERMISSION_DENIED = "permission_denied"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    # refused: consistency tokens
    REVISION_BEYOND_HEAD = "revision_beyond_head"
    REVISION_MALFORMED = "revision_malformed"
    EPOCH_MISMATCH = "epoch_mismatch"
    # refused: not known, which is never "denied"
    NOT_READY = "not_ready"
    STALE = "stale"
    UNAUDITED = "unaudited"
    BEHIND = "behind"
    GRANTS_UNKNOWN = "grants_unknown"
    KEYS_UNKNOWN = "keys_unknown"
    USER_FIELD_UNKNOWN = "user_field_unknown"


FORWARDED = frozenset(
    {Code.SAFE_METHOD, Code.ANYONE, Code.AUTHENTICATED, Code.OWN, Code.GRANTED, Code.SUPERUSER}
)


class FaultCode(StrEnum):
    """The stable codes of requests that the byte path ends by itself; they stand in `codes.TABLE`, too."""

    __hash__ = str.__hash__  # as in `Code`

    # it is no request
    MALFORMED_REQUEST = "malformed_request"
    TRANSFER_CODING_UNSUPPORTED = "transfer_coding_unsupported"
    VERSION_UNSUPPORTED = "version_unsupported"
    HOOK_MALFORMED = "hook_malformed"
    NOT_SERVED_HERE = "not_served_here"
    QUESTION_MALFORMED = "question_malformed"
    CREDENTIAL_MISSING = "credential_missing"
    METHOD_UNKNOWN = "method_unknown"  # the parser does not know it either; a decision says the same
    # it is over a limit
    TARGET_TOO_LONG = "target_too_long"
    HEAD_TOO_LARGE = "head_too_large"
    BODY_TOO_LARGE = "body_too_large"
    REQUEST_TIMEOUT = "request_timeout"
    BUFFERS_FULL = "buffers_full"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    # the service, or we, could not serve it
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    SUBPROTOCOL_ECHOED = "subprotocol_echoed"
    INTERNAL_ERROR = "internal_error"
    # the connection is closed without an answer
    PROXY_NOT_TRUSTED = "proxy_not_trusted"
    PROXY_HEADER_MALFORMED = "proxy_header_malformed"


class Verdict(NamedTuple):
    """The answer of the authorize step: `code`, the position it is exactly right at, and its age.

    `position` and `staleness` (seconds, on the monotonic clock) are `None` where no replica was asked.
    """

    code: Code
    detail: str = ""
    position: Position | None = None
    staleness: float | None = None

    @property
    def allowed(self) -> bool:
        return self.code in FORWARDED


class Decision(NamedTuple):
    """What was decided about one request, in full: answered from, logged from, counted from."""

    request_id: str
    method: str
    target: str
    verdict: Verdict
    status: int
    """HTTP status of the refusal; 0 when the request goes on to the upstream."""
    rule: str | None = None
    requirement: Requirement | None = None
    identity: Identity | None = None
    enforced: bool = True
    """False in shadow mode, or by a rule in it: the request is forwarded whatever the verdict."""
    policy: str = ""
    """Digest of the policy that decided."""
    revoking: bool = False
    """It ends a request that an earlier decision had let through."""
    websocket: bool = False
    """It asked to go on as WebSocket."""
    owns: bool | None = None
    """What `Question.owns` was; `None` where that was not asked."""
    host: str | None = None
    """The host that it was decided for; `None` where no rule names hosts."""

    @property
    def forward(self) -> bool:
        return not self.status

    @property
    def rests_on_token(self) -> bool:
        """Whether it would not stand without who asks; else that was found out for the service alone."""
        requirement = self.requirement
        return self.identity is not None and requirement is not None and requirement.quantifier != "anyone"


class Failure(NamedTuple):
    """Why a client was answered without a decision, or in spite of one: a fault of the request, of the
    service behind, or our own."""

    request_id: str
    status: int
    """0 when the connection was closed without an answer."""
    code: FaultCode
    peer: str
    detail: str = ""
    """What is known of this case beyond the code: for the operator, never for the client."""


class Answered(NamedTuple):
    """How a request ended."""

    request_id: str
    status: int
    """What the client was sent; 499: it left before, 101: until its WebSocket ended."""
    seconds: float
    """Since the request arrived."""
    peer: str
    told: bool = True
    """Whether the decision or the failure that came before was told of, and so this is, too."""
    upstream: float | None = None
    """Seconds that the service took to begin its answer; `None` where it did not."""
    trace_id: str = ""
    """Of the trace that tells of it, in hexadecimal digits; empty where none does."""
