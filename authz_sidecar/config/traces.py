"""Where traces go, and of which requests there are any."""

from __future__ import annotations

from authz_sidecar.config.parsers import collector, fraction
from authz_sidecar.config.setting import group, setting


@group
class TraceSettings:
    """Without an endpoint nothing is traced."""

    endpoint: str | None = setting(
        "AUTHZ_OTLP_ENDPOINT",
        collector,
        "collector that traces are sent to (OTLP over HTTP), like http://127.0.0.1:4318 (unset: no traces); "
        "needs the extra `otel`",
        default=None,
    )
    sample: float = setting(
        "AUTHZ_TRACE_SAMPLE",
        fraction,
        "share of the requests that are traced, 0 to 1; a trusted proxy's `traceparent` decides instead",
        default="0.1",
    )
