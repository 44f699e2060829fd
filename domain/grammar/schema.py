"""`Strategy`: one strategy of grammar v3 in its normal form."""

from typing import Self

from pydantic import ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from domain.grammar.checks import Parts, cross_check, raw_column
from domain.grammar.features import Feature, FuzzyInput, FuzzySet, Indicator, NetworkInput, RawInput
from domain.grammar.learning import ContextSeries, Decisions, Model, Training, TrainingData
from domain.grammar.values import TIMEFRAMES, Frozen, Prose, StrategyName, Version, dotted


class Strategy(Frozen):
    """A valid strategy, normalised: canonical names, complete parameters, no reference left to resolve.

    Every fuzzy set and raw input names its output where the indicator has several, and every input its timeframes.
    Building one, from a file or in code, raises pydantic's ValidationError where a rule of the grammar is broken.
    """

    name: StrategyName
    description: Prose = ""
    version: Version = "3.0"
    hypothesis: Prose = ""
    training_data: TrainingData
    context_data: tuple[ContextSeries, ...] = ()
    indicators: tuple[Indicator, ...]
    fuzzy_sets: tuple[FuzzySet, ...] = ()
    nn_inputs: tuple[NetworkInput, ...]
    model: Model
    decisions: Decisions = Decisions()
    training: Training

    @field_validator("fuzzy_sets")
    @classmethod
    def _name_outputs(cls, sets: tuple[FuzzySet, ...], info: ValidationInfo) -> tuple[FuzzySet, ...]:
        first = _first_outputs(info.data.get("indicators", ()))
        return tuple(s if s.output else s.model_copy(update={"output": first.get(s.indicator)}) for s in sets)

    @field_validator("nn_inputs")
    @classmethod
    def _name_inputs(cls, inputs: tuple[NetworkInput, ...], info: ValidationInfo) -> tuple[NetworkInput, ...]:
        first = _first_outputs(info.data.get("indicators", ()))
        data: TrainingData | None = info.data.get("training_data")
        named: list[NetworkInput] = []
        for entry in inputs:
            update: dict[str, object] = {"timeframes": entry.timeframes or (data.timeframes if data else ())}
            if isinstance(entry, RawInput) and not entry.output:
                update["output"] = first.get(entry.indicator)
            named.append(entry.model_copy(update=update))
        return tuple(named)

    @model_validator(mode="after")
    def _check(self) -> Self:
        by_id = {i.id: i for i in self.indicators}
        sets = {s.id: s for s in self.fuzzy_sets}
        parts = Parts(
            self.training_data, len(self.context_data), by_id, sets, self.nn_inputs, self.decisions, self.training
        )
        wrong = [f"{dotted(p.path)} {p.message} ({p.hint})" for p in cross_check(parts)]
        if len(by_id) < len(self.indicators) or len(sets) < len(self.fuzzy_sets):
            wrong.append("two indicators or two fuzzy sets have the same id")
        if wrong:
            raise PydanticCustomError("strategy", "{text}", {"text": "; ".join(wrong)})
        return self

    def indicator(self, indicator_id: str) -> Indicator:
        """The indicator of that id; KeyError where there is none."""
        return {i.id: i for i in self.indicators}[indicator_id]

    def fuzzy_set(self, set_id: str) -> FuzzySet:
        """The fuzzy set of that id; KeyError where there is none."""
        return {s.id: s for s in self.fuzzy_sets}[set_id]

    @property
    def features(self) -> tuple[Feature, ...]:
        """The network's columns: by nn_inputs, within one by timeframe, within that by membership."""
        return tuple(
            f for entry in self.nn_inputs for timeframe in entry.timeframes for f in self._columns(entry, timeframe)
        )

    @property
    def warmup(self) -> int:
        """Leading bars of the base timeframe on which some feature has no value yet, where no bar is missing."""
        base = TIMEFRAMES[self.training_data.base_timeframe]
        waits = ((self.indicator(f.indicator).warmup, TIMEFRAMES[f.timeframe] / base) for f in self.features)
        # A higher bar is seen when it has closed, and the first of them may have begun before the first base bar.
        return max(round(warmup if ratio == 1 else (warmup + 2) * ratio) for warmup, ratio in waits)

    def _columns(self, entry: NetworkInput, timeframe: str) -> tuple[Feature, ...]:
        if isinstance(entry, FuzzyInput):
            fuzzy = self.fuzzy_set(entry.fuzzy_set)
            return tuple(
                Feature(
                    name=f"{timeframe}_{fuzzy.id}_{membership.name}",
                    timeframe=timeframe,
                    indicator=fuzzy.indicator,
                    output=fuzzy.output,
                    membership=membership,
                    input_transform=fuzzy.input_transform,
                )
                for membership in fuzzy.memberships
            )
        return (
            Feature(
                name=f"{timeframe}_{raw_column(entry.indicator, entry.output)}",
                timeframe=timeframe,
                indicator=entry.indicator,
                output=entry.output,
                normalization=entry.normalization,
            ),
        )


def _first_outputs(indicators: tuple[Indicator, ...]) -> dict[str, str]:
    return {i.id: i.kind.outputs[0] for i in indicators if i.kind.outputs}
