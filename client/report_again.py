"""What it takes to run a cycle again: every setting that its results depend on, and the command lines that do it."""

import platform
import shlex
from collections.abc import Iterator
from importlib import metadata

from client.render_values import moment
from client.report_data import Material
from domain.cycle import CycleStatus, DesignerKind

PACKAGES = (
    "ktrdr-research",
    "jax",
    "equinox",
    "optax",
    "numpy",
    "pandas",
    "scikit-learn",
    "TA-Lib",
    "bt",
    "arch",
    "optuna",
    "temporalio",
)
"""What results may depend on."""


def settings_of(material: Material) -> list[tuple[str, str]]:
    """Names and values, in the order in which a cycle needs them; empty values are of what there is not."""
    cycle = material.cycle
    request, training, backtest = cycle.request, cycle.training, cycle.backtest
    costs = backtest.costs if backtest else None
    data = (backtest and backtest.data_sha256) or (training and training.data_sha256)
    untold = "not told by the service" if (training and training.service) or (backtest and backtest.service) else ""
    return [
        ("cycle", cycle.cycle_id),
        ("run", cycle.run_id),
        ("brief", request.brief),
        ("fork of", _source(cycle)),
        ("bars", f"{request.symbol} {request.timeframe}"),
        ("sha256 of the bars", data or untold),
        ("designer", request.designer.value),
        ("model of the designer", request.model or ""),
        ("seed", str(request.seed)),
        ("memory snapshot", cycle.memory_snapshot or request.memory_snapshot or ""),
        ("strategy", cycle.strategy.name if cycle.strategy else ""),
        ("sha256 of the strategy", cycle.strategy.sha256 if cycle.strategy else ""),
        (
            "strategy given with the request",
            "yes: nothing was designed" if request.strategy and not request.fork else "",
        ),
        ("sha256 of the model", training.model_id if training and not training.service else ""),
        ("training at the service", training.service.operation_id if training and training.service else ""),
        ("backtest at the service", backtest.service.operation_id if backtest and backtest.service else ""),
        ("commission a fill", f"{costs.commission!r} of the price" if costs else ""),
        ("half spread a fill", f"{costs.half_spread!r} of the price" if costs else ""),
        ("trials counted", str(backtest.trials) if backtest else ""),
        *((f"""gate: {name.replace("_", " ")}""", repr(value)) for name, value in request.thresholds),
        ("on budget exhausted", request.on_budget_exhausted.value),
        ("started", moment(cycle.started_at)),
        ("ended", moment(cycle.ended_at) if cycle.ended_at else ""),
    ]


def _source(cycle: CycleStatus) -> str:
    """The cycle whose phases this one took over, and the first that is its own."""
    fork = cycle.request.fork
    return f"{fork.cycle_id}, run {fork.run_id}, from {fork.phase.value} on" if fork else ""


def versions() -> str:
    """The versions of this machine now, where the report is made; a cycle's record keeps none."""
    return ", ".join([f"Python {platform.python_version()}", *_installed()])


def _installed() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue


def command_lines(material: Material) -> list[tuple[str, str]]:
    """What each line does, and the line, for a POSIX shell. Nothing where the cycle came to no strategy."""
    cycle = material.cycle
    lines: list[tuple[str, str]] = []
    if cycle.strategy:
        path = material.view.places.strategy
        lines.append(
            (
                "The same strategy, trained and tested again (on equal bars and versions: the same model and trades):",
                _start(cycle, ["--strategy", str(path or cycle.strategy.path)]),
            )
        )
    designed = cycle.request.strategy is None
    if designed and cycle.request.designer is DesignerKind.OFFLINE:
        snapshot = cycle.memory_snapshot or cycle.request.memory_snapshot
        lines.append(
            (
                "The same design made again, from what the store knew then:",
                _start(cycle, ["--memory", snapshot] if snapshot else []),
            )
        )
    elif designed:
        lines.append(("The same brief again; a model will design something else:", _start(cycle, [])))
    return lines


def _start(cycle: CycleStatus, more: list[str]) -> str:
    request = cycle.request
    words = ["research", "start"]
    if request.brief:
        # After `--` whatever a brief begins with is no option; the words before it are ours.
        more = [*more, "--", request.brief]
    options = ["--symbol", request.symbol, "--timeframe", request.timeframe, "--designer", request.designer.value]
    if request.model:
        options += ["--model", request.model]
    options += ["--seed", str(request.seed), "--on-budget-exhausted", request.on_budget_exhausted.value]
    # All bounds, since those that are not named are the settings' own, which another shell may have changed.
    for name, value in request.thresholds:
        options += ["--set", f"{name}={value!r}"]
    return " ".join([*_costs(cycle), *(shlex.quote(word) for word in [*words, *options, *more])])


def _costs(cycle: CycleStatus) -> list[str]:
    """The costs as settings of the command: without them the asset class's own would hold."""
    backtest = cycle.backtest
    if backtest is None or backtest.service:
        return []
    costs = backtest.costs
    return [f"RESEARCH_COMMISSION={costs.commission!r}", f"RESEARCH_HALF_SPREAD={costs.half_spread!r}"]
