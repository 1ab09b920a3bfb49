"""The documentation's pages that are made from the code: `python -m lab.pages` writes them anew.

A test fails while one of them differs from what it is made from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from authz_sidecar.codes import TABLE
from authz_sidecar.config.setting import Setting
from authz_sidecar.config.table import TABLE as SETTINGS
from authz_sidecar.core.verdicts import FORWARDED, Code, FaultCode
from authz_sidecar.observe.families import FAMILIES, Family
from authz_sidecar.observe.log_fields import ANSWER_FIELDS, DECISION_FIELDS, FAILURE_FIELDS, RETRY_FIELDS
from lab import ROOT

MADE = "<!-- Made by `python -m lab.pages`; change what it is made from. -->"

RETRIES = {"no": "no", "later": "later", "repeatable": "later, if it may be repeated"}


def codes() -> str:
    """docs/codes.md"""
    return f"""# Codes

{MADE}

Each answer that the sidecar gives itself is a problem document (RFC 9457) with one of these in `code`. They
are also in the decision log ([its fields](decision-log.md)) and in the metrics: `authz_decisions_total`
counts decisions, `authz_failures_total` what the byte path ends by itself. A code never changes its
meaning. 401 and 403 say what is known, 503 says that it is not.

`type` is always `about:blank`. A link would have to lead to this page, and the sidecar does not know where
you keep it.

## A request passes

{_table(("code", "when"), ((f"`{code}`", TABLE[code].meaning) for code in Code if code in FORWARDED))}

## A decision refuses it

*Again?* says whether the same request may pass when it is sent again as it is.

{_refusals(code for code in Code if code not in FORWARDED)}

## The byte path ends it

It is no request, it is over a limit, or it cannot be served. Status 0: the connection is closed without an
answer. "If it may be repeated": the service may have acted on it already, so send again only what does no
harm twice.

{_refusals(FaultCode)}
"""


def decision_log() -> str:
    """docs/decision-log.md"""
    return f"""# The decision log

{MADE}

One JSON object a line on standard output, of one of four types. Refusals, failures and retries are
always written, allowed requests at `AUTHZ_DECISION_LOG_SAMPLE`. Writing never holds up a request: lines are
written in batches, within 100 ms, by a thread of their own, and what does not fit into its queue or cannot
be written is counted in `authz_decision_log_dropped_total`. No line holds a token.
`authz-sidecar verify` reads these lines.

## A decision

{_table(("field", "meaning"), _fields(DECISION_FIELDS))}

## A failure

What the byte path ends by itself.

{_table(("field", "meaning"), _fields(FAILURE_FIELDS))}

## A retry

The service had ended a kept connection without an answer, and the request may be sent twice
([which ones](operations.md#connections-to-the-service)). A second line of its decision follows.

{_table(("field", "meaning"), _fields(RETRY_FIELDS))}

## An answer

How a request ended that has a line of one of the other types.

{_table(("field", "meaning"), _fields(ANSWER_FIELDS))}
"""


def settings() -> str:
    """docs/settings.md"""
    return f"""# Settings

{MADE}

Every setting is an environment variable and a flag of `authz-sidecar run` and `authz-sidecar check`; a
flag wins. An empty variable is the same as none, except where the table says what empty means. All
mistakes are reported at once, and the exit code is then 2. What they do together:
[operations.md](operations.md).

The tokens and the URLs of Redis and RabbitMQ may also come from a file, as Docker and Kubernetes give
secrets: `AUTHZ_SERVICE_TOKEN_FILE=/run/secrets/token`. Prefer that, or the variable, to the flag: other
users of the machine can read flags.

{_table(("variable", "flag", "meaning", "default"), map(_setting, SETTINGS))}
"""


def metrics() -> str:
    """docs/metrics.md"""
    return f"""# Metrics

{MADE}

`GET /metrics` on the admin port, in Prometheus' text format. Times are in seconds. A histogram `x` comes as
`x_bucket`, `x_sum` and `x_count`. Those of the replica (revisions, staleness, phase, dependencies) are there
while `AUTHZ_VALIDATION` is `cached`. The process itself is told of by the usual `process_*`. Counters have a
value from the start; those by rule keep to 1,000 rules, whatever is reloaded, and count others as `(others)`.

{_table(("metric", "type", "labels", "meaning"), map(_metric, FAMILIES))}

Buckets of the histograms:

{_table(("metric", "upper bounds"), map(_buckets, (each for each in FAMILIES if each.buckets)))}
"""


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/codes.md": codes,
    "docs/decision-log.md": decision_log,
    "docs/metrics.md": metrics,
    "docs/settings.md": settings,
}


def _refusals(listed: Iterable[str]) -> str:
    rows = (
        (f"`{code}`", str(row.status), row.meaning, row.mend, RETRIES[row.retry])
        for code, row in ((code, TABLE[code]) for code in listed)
    )
    return _table(("code", "status", "when", "what to do", "again?"), rows)


def _setting(setting: Setting) -> tuple[str, ...]:
    default = "required" if setting.required else f"`{setting.default}`" if setting.default else "unset"
    return f"`{setting.variable}`", f"`{setting.flag}`", setting.help, default


def _metric(family: Family) -> tuple[str, ...]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return f"`{name}`", family.type, ", ".join(f"`{label}`" for label in family.labels), family.meaning


def _buckets(family: Family) -> tuple[str, ...]:
    return f"`{family.name}`", ", ".join(f"{bound:g}" for bound in family.buckets)


def _fields(fields: Mapping[str, str]) -> Iterable[tuple[str, ...]]:
    return ((f"`{name}`", meaning) for name, meaning in fields.items())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> int:
    for path, page in PAGES.items():
        (ROOT / path).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
