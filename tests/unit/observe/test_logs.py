"""Log lines are one JSON object each."""

from __future__ import annotations

import json
import logging
import sys

from authz_sidecar.observe.logs import JsonFormatter


def test_a_line_is_json_with_the_fields_merged_in() -> None:
    record = logging.makeLogRecord(
        {"name": "authz", "levelname": "WARNING", "msg": "lost %s", "args": ("it",), "created": 0.0}
    )
    record.fields = {"port": 8080}
    assert json.loads(JsonFormatter().format(record)) == {
        "at": "1970-01-01T00:00:00.000000Z",
        "level": "warning",
        "logger": "authz",
        "message": "lost it",
        "port": 8080,
    }


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: two\nlines" in json.loads(line)["exception"]
