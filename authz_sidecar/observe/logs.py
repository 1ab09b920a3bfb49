"""What the sidecar and its libraries have to say, as JSON lines for standard error."""

from __future__ import annotations

import json
import logging
from typing import Any

from authz_sidecar.observe.instants import Instants
from authz_sidecar.observe.lines import LineQueue
from authz_sidecar.observe.redaction import without_tokens


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a caller passes as `extra={"fields": {...}}` is merged in."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": Instants().text(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_tokens(record.getMessage()),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = without_tokens(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


class QueueHandler(logging.Handler):
    """Puts lines into a queue: whoever logs never waits for a stream."""

    def __init__(self, lines: LineQueue) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put(f"{self.format(record)}\n")
        except Exception:  # as every handler does: what cannot be logged must not end what was to be told of
            self.handleError(record)


def configure(level: str, lines: LineQueue) -> None:
    """Send everything from `level` up, Python's warnings included, to `lines`."""
    handler = QueueHandler(lines)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    if logging.getLevelName(level.upper()) > logging.DEBUG:
        # It tells of every attempt while the broker is away; we tell of each loss, once.
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)
