"""The whole program sends traces where it is told to, and knows nothing of them where it is not."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from lab.stack.alone import Alone
from lab.stack.collector import Collector, attributes
from lab.stack.process import free_port


def refused(program: Alone) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{program.port}/secret/", method="POST", data=b"")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)  # noqa: S310 (as above)


def test_what_ended_is_exported_before_the_end(start: Callable[..., Alone]) -> None:
    collector = Collector()
    upstream = f"http://127.0.0.1:{free_port()}"
    program = start(upstream, OTLP_ENDPOINT=collector.url, TRACE_SAMPLE=1)
    refused(program)
    program.process.stop()
    collector.stop()
    (span,) = collector.spans()
    assert (span.name, attributes(span)["authz.code"]) == ("POST", "no_rule")
    assert {path for path, _ in collector.bodies} == {"/v1/traces"}
    assert attributes(collector.resources()[0].resource)["service.name"] == "authz-sidecar"


def test_a_collector_that_is_away_holds_up_nothing(start: Callable[..., Alone]) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    program = start(nowhere, OTLP_ENDPOINT=nowhere, TRACE_SAMPLE=1)
    refused(program)
    program.process.stop()
    assert program.lines(message="stopping: requests under way end first")


def test_nothing_that_exports_is_imported_where_it_is_off() -> None:
    # redis-py itself looks whether the SDK is there.
    ours = "import sys, authz_sidecar.cli; sys.exit('authz_sidecar.observe.traces' in sys.modules"
    exporter = "or any(name.startswith('opentelemetry.exporter') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", f"{ours} {exporter}"], check=True)
