"""The byte path."""

from __future__ import annotations

from lab.simulation.mutants.mutant import Edit, Mutant

DOWNSTREAM = "authz_sidecar/proxy/downstream.py"
EXCHANGE = "authz_sidecar/proxy/exchange.py"
POOL = "authz_sidecar/proxy/pool.py"
UPSTREAM = "authz_sidecar/proxy/upstream.py"

MUTANTS = (
    Mutant("refused-goes-on", (Edit(EXCHANGE, "if decision.status:", "if decision.status == 401:"),), seed=1),
    Mutant(
        "revoked-upload-goes-on",
        (Edit(EXCHANGE, "elif self._state is not AWAITING:", "elif self._state is OVER:"),),
        seed=1,
    ),
    Mutant(
        "half-a-request-ends-in-order",
        (Edit(UPSTREAM, "if user is not None and not self._tunnel and not self._answered:", "if False:"),),
        seed=1,
    ),
    Mutant(
        "anything-sent-once-more",
        (
            Edit(
                EXCHANGE, "if self._retried or not framing.repeatable(", "if self._retried or False and bool("
            ),
        ),
        seed=1,
    ),
    Mutant(
        "broken-answer-ends-in-order",
        (Edit(EXCHANGE, "if broken or state is SWITCHED:", "if state is SWITCHED:"),),
        seed=13,
    ),
    Mutant(
        "unread-answer-ends-in-order",
        (
            Edit(
                DOWNSTREAM, "self._transport is not None and self._transport.get_write_buffer_size()", "False"
            ),
        ),
        seed=9,
    ),
    Mutant(
        "connection-kept-in-the-middle",
        (Edit(POOL, "if not whole or response", "if response"),),
        seed=1,
    ),
)
