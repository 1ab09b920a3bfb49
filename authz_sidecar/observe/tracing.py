"""Traces, where they are wanted: only there is the SDK imported, and only there it has to be installed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from authz_sidecar.config.traces import TraceSettings

if TYPE_CHECKING:
    from authz_sidecar.observe.traces import Tracing


def start(settings: TraceSettings, stack: AsyncExitStack) -> Tracing | None:
    """What ends with `stack`; `None` without an endpoint."""
    if settings.endpoint is None:
        return None
    from authz_sidecar.observe.traces import Tracing

    found = Tracing(settings.endpoint, settings.sample)
    stack.callback(found.stop)
    return found
