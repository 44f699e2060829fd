"""The designer's desk: a cycle's request, the bars' train part, what the store remembers, and the tools over them.

Everything is told as of one memory snapshot, and nothing of the backtest part: neither figures nor the bars' prices.
Whether a strategy is new is asked of the store as it is now, since another cycle may have tried it meanwhile.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from claude import prompts_design
from claude.catalogue import indicator_detail, indicator_named
from claude.design_tools import (
    TOOLS,
    GetExperiment,
    GetIndicator,
    ListExperiments,
    SubmitStrategy,
    ValidateStrategy,
)
from claude.desk import Outcome, Tool
from claude.quoting import inline, listed, quoted
from claude.tools import failure, read_arguments, success
from domain.cycle import CycleRequest, MemorySnapshot
from domain.cycle import Outcome as CycleOutcome
from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import nearest
from domain.memory import DesignNotes, ExperimentDetail
from domain.strategy import (
    ENGINE_CAPABILITIES,
    INDICATORS,
    Capabilities,
    Indicator,
    IndicatorType,
    Strategy,
    StrategyInvalid,
    dump_strategy,
    load_strategy,
    strategy_hash,
    trainability,
)
from engine.bars import Bars, list_bars, load_bars
from engine.design_space import Ground
from engine.indicators import compute
from engine.offline_designer import smallest_traded_share
from engine.splits import TRAIN
from store.cycles import Store
from store.strategies import StrategyFiles

MOST_ISSUES = 30
"""What is wrong with a strategy, told at once."""

LEAST_SHARE = 0.02
"""The smallest share of train that a traded class may have here; below 0.01 its training would fail."""

NEWEST = 40
"""Experiments that are read for the opening; as many are shown as there is room for."""


class DesignDesk:
    """One design. memory_snapshot: the state that this conversation began with; None at its first turn.

    Errors, when it is made: data_unavailable (no bars, or no such snapshot), store_unavailable.
    """

    def __init__(
        self,
        request: CycleRequest,
        memory_snapshot: str | None,
        store: Store,
        files: StrategyFiles,
        data: Path,
        able: Capabilities = ENGINE_CAPABILITIES,
    ) -> None:
        self._request = request
        self._store = store
        self._files = files
        self._data = data
        self._able = able
        self._bars: Bars = load_bars(request.symbol, request.timeframe, data)
        asked = memory_snapshot or request.memory_snapshot
        self._memory: MemorySnapshot = store.snapshot(request.symbol, request.timeframe, asked)
        self._hypotheses = store.open_hypotheses(request.symbol, self._memory.id)

    @property
    def memory_snapshot(self) -> str:
        """The state of the store that everything is told as of; to be given again at the next turn."""
        return self._memory.id

    @cached_property
    def system(self) -> str:
        """The same for every cycle."""
        return prompts_design.system(self._able)

    @cached_property
    def opening(self) -> str:
        """This cycle."""
        return prompts_design.opening(
            self._request,
            self._bars,
            self._ground,
            list_bars(self._data),
            self._memory.trials,
            self._store.experiments(self._request.symbol, self._request.timeframe, self._memory.id, limit=NEWEST),
            self._hypotheses,
        )

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The same for every cycle."""
        return TOOLS

    def use(self, name: str, arguments: JsonValue) -> Outcome:
        """Run a tool; only store_unavailable is raised."""
        tools: Mapping[str, Callable[[JsonValue], Outcome]] = {
            "get_indicator": self._get_indicator,
            "list_experiments": self._list_experiments,
            "get_experiment": self._get_experiment,
            "validate_strategy": self._validate,
            "submit_strategy": self._submit,
        }
        if name not in tools:
            return failure(f"There is no tool {inline(name, 80)!r}; there are {', '.join(tools)}.")
        return tools[name](arguments)

    @property
    def _ground(self) -> Ground:
        train = self._bars.frame.iloc[: int(len(self._bars.frame) * TRAIN)]
        return Ground(self._bars.symbol, self._bars.timeframe, self._bars.asset_class, train)

    def _get_indicator(self, arguments: JsonValue) -> Outcome:
        asked = read_arguments(GetIndicator, arguments)
        if isinstance(asked, Outcome):
            return asked
        kind = indicator_named(asked.name)
        if kind is None:
            return failure(f"There is no indicator {inline(asked.name, 60)!r}: {nearest(asked.name, INDICATORS)}")
        lines = [indicator_detail(kind, self._able)]
        if kind.name in self._able.indicators:
            lines += self._values_on_train(kind)
        return success("\n".join(lines))

    def _values_on_train(self, kind: IndicatorType) -> list[str]:
        train = self._ground.train
        lines = ["On this cycle's train part, by default: 0th, 10th, 50th, 90th, 100th percentile"]
        for output, values in compute(Indicator(id=kind.name, type=kind.name), train).items():
            close = train["close"].to_numpy(dtype=np.float64)
            for what, column in (("", values), (" divided by the close", values / close)):
                finite = column[np.isfinite(column)]
                if len(finite):
                    figures = ", ".join(f"{value:.4g}" for value in np.percentile(finite, (0, 10, 50, 90, 100)))
                    lines.append(f"- {output or kind.name}{what}: {figures}")
        return lines

    def _list_experiments(self, arguments: JsonValue) -> Outcome:
        asked = read_arguments(ListExperiments, arguments)
        if isinstance(asked, Outcome):
            return asked
        found = self._store.experiments(
            (asked.symbol or self._request.symbol).upper(),
            None if asked.symbol else self._request.timeframe,
            self._memory.id,
            outcome=CycleOutcome(asked.outcome) if asked.outcome else None,
            order=asked.order,
            limit=asked.limit,
        )
        lines = [prompts_design.experiment_line(each) for each in found]
        return success(listed("experiments", lines) if lines else "There are none.")

    def _get_experiment(self, arguments: JsonValue) -> Outcome:
        asked = read_arguments(GetExperiment, arguments)
        if isinstance(asked, Outcome):
            return asked
        found = self._store.experiment(asked.cycle_id, self._memory.id)
        if found is None:
            return failure(f"There is no experiment {inline(asked.cycle_id, 100)!r}; list_experiments names them.")
        return success(_detail(found))

    def _validate(self, arguments: JsonValue) -> Outcome:
        asked = read_arguments(ValidateStrategy, arguments)
        if isinstance(asked, Outcome):
            return asked
        found = self._checked(asked.yaml)
        if isinstance(found, Outcome):
            return found
        strategy, notes = found
        return success("\n".join((f"Valid, trainable here and new: {len(strategy.features)} features.", *notes)))

    def _submit(self, arguments: JsonValue) -> Outcome:
        asked = read_arguments(SubmitStrategy, arguments)
        if isinstance(asked, Outcome):
            return asked
        if asked.tests_hypothesis and asked.tests_hypothesis not in {each.id for each in self._hypotheses}:
            shown = ", ".join(each.id for each in self._hypotheses) or "there are none: say null"
            return failure(f"{asked.tests_hypothesis} is not an open hypothesis for {self._request.symbol}; {shown}.")
        found = self._checked(asked.yaml)
        if isinstance(found, Outcome):
            return found
        named = found[0].model_copy(update={"name": asked.name, "hypothesis": asked.hypothesis})
        # Beside the strategy, so that the assessor and the store know what the cycle was made to test.
        tests = asked.tests_hypothesis
        notes = DesignNotes(tests_hypothesis=tests).model_dump_json() if tests else None
        try:
            saved = self._files.save(asked.name, dump_strategy(named), notes)
        except ResearchError as error:
            if error.code is not ErrorCode.INVALID_STRATEGY:
                raise
            return failure(f"It could not be kept: {inline(error.message, 300)}")
        return Outcome(
            text=f"Taken as {saved.name}.",
            strategy=saved,
            hypothesis=asked.hypothesis,
            memory_snapshot=self._memory.id,
        )

    def _checked(self, text: str) -> tuple[Strategy, list[str]] | Outcome:
        """The strategy with remarks on how it was read, or all that stands against it."""
        try:
            loaded = load_strategy(text)
        except StrategyInvalid as error:
            issues = [f"- {inline(str(issue), 300)}" for issue in error.issues[:MOST_ISSUES]]
            more = len(error.issues) - len(issues)
            rest = [f"- and {more} more"] if more else []
            return failure("\n".join(["This is no strategy of the grammar:", *issues, *rest]))
        strategy = loaded.strategy
        against = [*self._foreign(strategy), *trainability(strategy, self._able).lacks]
        if against:
            return failure("\n".join(["It cannot be tried in this cycle:", *(f"- {inline(a, 300)}" for a in against)]))
        try:
            share = smallest_traded_share(strategy, self._bars)
        except ResearchError as error:
            return failure(f"It cannot be tried on these bars: {inline(error.message, 400)}")
        if share < LEAST_SHARE:
            return failure(
                f"training.labels: the rarest class that is traded is {share:.1%} of train, which is too little to "
                "learn: choose a smaller threshold or another horizon"
            )
        # A design that is made again from an earlier memory is new if it was new then; any other one, if it is so now.
        as_of = self._memory.id if self._request.memory_snapshot else None
        known = self._store.strategy_known(strategy_hash(strategy), as_of)
        if known is not None:
            return failure(
                f"It is not new: cycle {inline(known, 100)} ran the same experiment. Names and wording do not count; "
                "change what is tested"
            )
        notes = [f"- rarest traded class: {share:.1%} of train"]
        notes += [f"- changes nothing here: {inline(path, 100)}" for path in loaded.ignored[:MOST_ISSUES]]
        notes += [f"- {inline(note, 300)}" for note in loaded.notes[:MOST_ISSUES]]
        return strategy, notes

    def _foreign(self, strategy: Strategy) -> list[str]:
        """What the strategy says of bars that are not this cycle's."""
        data, request = strategy.training_data, self._request
        found = []
        if data.symbols != (request.symbol,):
            found.append(f"training_data.symbols: {', '.join(data.symbols)}; this cycle's is {request.symbol}")
        if data.timeframes != (request.timeframe,):
            found.append(f"training_data.timeframes: {', '.join(data.timeframes)}; this cycle's is {request.timeframe}")
        return found


def _detail(found: ExperimentDetail) -> str:
    training, experiment = found.training, found.experiment
    lines = [listed("experiment", [prompts_design.experiment_line(experiment)])]
    if experiment.trial.parameters:
        lines.append(f"Its designer's parameters: {inline(experiment.trial.parameters, 600)}")
    if training is not None:
        lines.append(
            f"Training: {training.epochs} epochs, the best {training.best_epoch}; accuracy "
            f"{training.train_accuracy:.3f} in train, {training.validation_accuracy:.3f} in validation (chance "
            f"{training.chance:.3f}); loss {training.train_loss.initial:.4g} to {training.train_loss.final:.4g} in "
            f"train, {training.model_loss:.4g} in validation"
        )
    if found.training_gate is not None:
        checks = "; ".join(str(check) for check in found.training_gate.checks)
        lines.append(f"Training gate {'passed' if found.training_gate.passed else 'said no'}: {inline(checks, 600)}")
    lines.append(quoted("strategy", experiment.strategy_text or "", 6_000))
    return "\n".join(lines)
