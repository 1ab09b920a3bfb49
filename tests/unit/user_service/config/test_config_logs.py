"""Each log line is one JSON object."""

import json
import logging
import sys

from config.logs import JsonFormatter


def test_a_line_is_one_json_object_whatever_the_message_holds() -> None:
    record = logging.LogRecord(
        "django.request", logging.ERROR, __file__, 1, "Bad: %s\n%s", ("ä", '"x"'), None
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["level"], parsed["logger"], parsed["message"]) == (
        "error",
        "django.request",
        'Bad: ä\n"x"',
    )


def test_a_traceback_shows_no_local_variables() -> None:
    try:
        secret = "hunter2" + str(1)
        raise ValueError
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "ValueError" in line
    assert secret not in line
