"""Where a cycle's things lie on this machine, and how its page in the Web UI is called."""

from pathlib import Path

from client.connection import read_running_note, target
from client.views import Places
from domain.cycle import CycleStatus, folder_name
from settings import Settings


def places_of(status: CycleStatus, settings: Settings) -> Places:
    """Whole paths of what the cycle has made so far."""
    training, backtest = status.training, status.backtest
    return Places(
        strategy=settings.strategies / status.strategy.path if status.strategy else None,
        model=_artifact(training.model_path if training else None, settings),
        history=_artifact(training.history_path if training else None, settings),
        equity=_artifact(backtest.equity_path if backtest else None, settings),
        trades=_artifact(backtest.trades_path if backtest else None, settings),
        web_ui=web_ui_of(status.cycle_id, status.run_id, settings),
        trace=trace_of(status, settings),
    )


def report_of(cycle_id: str, settings: Settings) -> Path:
    """Where the cycle's report goes where no other place is asked for."""
    return settings.home / "reports" / f"{folder_name(cycle_id)}.html"


def trace_of(status: CycleStatus, settings: Settings) -> str | None:
    """The cycle's trace, where a trace UI is named: by Jaeger's path, or where the address says `{trace_id}`."""
    if settings.trace_ui is None or status.trace is None:
        return None
    if "{trace_id}" in settings.trace_ui:
        return settings.trace_ui.replace("{trace_id}", status.trace.trace_id)
    return f"{settings.trace_ui.rstrip('/')}/trace/{status.trace.trace_id}"


def _artifact(path: str | None, settings: Settings) -> Path | None:
    return settings.artifacts / path if path else None


def web_ui_of(cycle_id: str, run_id: str, settings: Settings) -> str | None:
    """The cycle's page, where the address of a Web UI is known."""
    address, namespace = target(settings)
    note = read_running_note(settings)
    base = settings.ui_url or (note.ui_url if note and note.address == address else None)
    if base is None:
        return None
    return f"{base.rstrip('/')}/namespaces/{namespace}/workflows/{cycle_id}/{run_id}"
