"""Logs: for people on a terminal, JSON lines elsewhere. Always on stderr: stdout belongs to a command's answer."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from opentelemetry import trace
from temporalio import activity, workflow
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from domain.cycle import CYCLE_WORKFLOW
from observability.propagation import attempt_by_the_cycle
from observability.watching import PHASE_OF


class Where(logging.Filter):
    """Puts into each record of which cycle it is, or of which other workflow: the budget's ledger is one. Whoever logs
    inside an activity need not know of it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """All pass."""
        record.where = _of_activity() or _of_workflow(record)
        return True


def _of_activity() -> dict[str, object]:
    if not activity.in_activity():
        return {}
    info = activity.info()
    span = trace.get_current_span().get_span_context()
    found = {
        _kind(info.workflow_type): info.workflow_id,
        "run_id": info.workflow_run_id,
        "phase": PHASE_OF.get(info.activity_type),
        "activity": info.activity_type,
        "attempt": attempt_by_the_cycle() or info.attempt,
        "trace_id": trace.format_trace_id(span.trace_id) if span.is_valid else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_workflow(record: logging.LogRecord) -> dict[str, object]:
    context = getattr(record, "temporal_workflow", None)
    if not isinstance(context, Mapping) or "workflow_id" not in context:
        return {}
    return {_kind(context.get("workflow_type")): context["workflow_id"], "run_id": context.get("run_id")}


def _kind(workflow_type: object) -> str:
    return "cycle" if workflow_type == CYCLE_WORKFLOW else "workflow"


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and of what it is."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "where", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Lines(logging.Formatter):
    """A line for people: the time of day, level, message, and in brackets of which cycle, phase and attempt it is."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback if there is one."""
        where: dict[str, object] = getattr(record, "where", {})
        told = [str(where[name]) for name in ("cycle", "workflow", "phase") if name in where]
        if where.get("attempt", 1) != 1:
            told.append(f"attempt {where['attempt']}")
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname:7} {record.getMessage()}"
        line += f"  [{' '.join(told)}]" if told else ""
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: int = logging.INFO) -> None:
    """Set up the root logger, once, at the start of a process."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(Lines())
    else:
        handler.setFormatter(JsonLines())
    handler.addFilter(Where())
    # Of what a line is, Where tells: Temporal's loggers would write it into the message once more.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    logging.basicConfig(level=level, handlers=[handler], force=True)


def runtime(metrics_at: str | None = None) -> Runtime:
    """A Temporal runtime whose core logs through Python's logging; by default it would write to stdout.

    metrics_at: where (host:port) the SDK serves its own metrics; None: nowhere.
    """
    metrics = (
        PrometheusConfig(
            bind_address=metrics_at, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
        )
        if metrics_at
        else None
    )
    filter_ = TelemetryFilter(core_level="WARN", other_level="ERROR")
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporal.core"))
    return Runtime(
        telemetry=TelemetryConfig(logging=LoggingConfig(filter=filter_, forwarding=forwarding), metrics=metrics)
    )
