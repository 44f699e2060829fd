"""Logs: for people on a terminal, JSON lines elsewhere. Always on stderr: stdout belongs to a command's answer."""

import json
import logging
import sys
from datetime import UTC, datetime

from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

TEMPORAL_FIELDS = ("workflow_id", "run_id", "activity_type", "attempt")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and where Temporal says so, the cycle and attempt."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None)
        if isinstance(context, dict):
            line |= {field: context[field] for field in TEMPORAL_FIELDS if field in context}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    """Set up the root logger, once, at the start of a process."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def runtime() -> Runtime:
    """A Temporal runtime whose core logs through Python's logging; by default it would write to stdout."""
    filter_ = TelemetryFilter(core_level="WARN", other_level="ERROR")
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporal.core"))
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=filter_, forwarding=forwarding)))
