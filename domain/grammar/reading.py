"""A strategy file read: the strategy, or all that is wrong with it, each with path, line and what would be right."""

from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from domain.grammar import shapes, shapes_learning
from domain.grammar.checks import Parts, check_size, cross_check
from domain.grammar.features import FuzzyInput, FuzzySet, Indicator, RawInput
from domain.grammar.indicators import INDICATOR_NAMES, find_indicator, read_parameters
from domain.grammar.learning import ContextSeries, Decisions, Training, TrainingData
from domain.grammar.messages import explain
from domain.grammar.schema import Strategy
from domain.grammar.shapes import Findings, Shaped
from domain.grammar.text import Document, parse
from domain.grammar.values import Frozen, Loc, Problem, Prose, StrategyName, Version, dotted, nearest, shorten

MAX_ISSUES = 100
_Part = TypeVar("_Part", bound=BaseModel)


@dataclass(frozen=True)
class StrategyIssue:
    """One thing that is wrong with a strategy file. `line` counts from 1; `hint`, if any, is what would be right."""

    path: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.path} {self.message}" + (f" ({self.hint})" if self.hint else "")


class StrategyInvalid(ValueError):
    """The file is not a strategy of grammar v3. `issues` has all that is wrong, in the order of lines."""

    def __init__(self, issues: tuple[StrategyIssue, ...]) -> None:
        super().__init__("; ".join(map(str, issues)))
        self.issues = issues


@dataclass(frozen=True)
class LoadedStrategy:
    """A strategy, with what reading it brought to light.

    ignored: paths of keys that are accepted and change nothing here. notes: choices made between two readings.
    """

    strategy: Strategy
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Head(Frozen):
    name: StrategyName
    description: Prose = ""
    version: Version = "3.0"
    hypothesis: Prose = ""


def load_strategy(text: str | bytes) -> LoadedStrategy:
    """Read a strategy file of grammar v3, YAML of at most 256 KiB.

    Raises StrategyInvalid with every issue, whatever the text holds; nothing of it is executed or used as a path.
    """
    document = parse(text)
    if document.data is None and document.problems:
        raise _invalid(document, document.problems)
    if not isinstance(document.data, dict):
        message = "is empty" if document.data is None else "is not a mapping of keys"
        raise _invalid(document, [Problem((), message, "name, training_data, indicators, fuzzy_sets, nn_inputs, ...")])
    findings = Findings(document.problems)
    strategy = _Reader(document.data, findings).read()
    if strategy is None or findings.problems:
        raise _invalid(document, findings.problems)
    return LoadedStrategy(strategy, tuple(findings.ignored), tuple(findings.notes))


def _invalid(document: Document, problems: list[Problem]) -> StrategyInvalid:
    issues = {StrategyIssue(dotted(p.path), document.line(p.path), p.message, p.hint): None for p in problems}
    ordered = sorted(issues, key=lambda issue: issue.line)
    if len(ordered) > MAX_ISSUES:
        rest = StrategyIssue("(document)", ordered[MAX_ISSUES].line, f"has {len(ordered) - MAX_ISSUES} more issues")
        ordered = [*ordered[:MAX_ISSUES], rest]
    return StrategyInvalid(tuple(ordered))


class _Reader:
    """Reads section by section, so that one broken section does not hide what is wrong with another."""

    def __init__(self, root: dict[str, object], findings: Findings) -> None:
        self.findings = findings
        self.root = shapes.drop_ignored(root, (), findings)
        self.places: dict[Loc, Shaped] = {}

    def read(self) -> Strategy | None:
        if isinstance(self.root.get("indicators"), list):
            hint = "v3 has a mapping of id to {type: ...} here, and nn_inputs; migrate the file to v3 first"
            self.findings.problems = [Problem(("indicators",), "is a list, as in grammar v2", hint)]
            return None
        shapes.refuse_unknown(self.root, (*Strategy.model_fields, "scope", "deployment"), (), self.findings)
        for section in ("training_data", "indicators", "nn_inputs", "model", "training"):
            if self.root.get(section) is None:
                self.findings.wrong((section,), "is missing", "every strategy has this section")
        head = {key: self.root[key] for key in _Head.model_fields if key in self.root}
        self._part(Shaped((), head), _Head)
        block = self.root.get("model")
        below_model = block.get("training") if isinstance(block, dict) else None
        training_data = self._training_data(below_model)
        context_data = tuple(self._context_series(i, raw) for i, raw in enumerate(self._list("context_data")))
        indicators = {key: self._indicator(key, raw) for key, raw in self._mapping("indicators").items()}
        fuzzy_sets = {key: self._fuzzy_set(key, raw) for key, raw in self._mapping("fuzzy_sets").items()}
        nn_inputs = tuple(self._input(i, raw) for i, raw in enumerate(self._list("nn_inputs")))
        model = self._model()
        decisions = self._decisions()
        training = self._training(below_model)
        parts = Parts(training_data, len(context_data), indicators, fuzzy_sets, nn_inputs, decisions, training)
        self._cross_check(parts)
        if self.findings.problems:
            return None
        values: dict[str, object] = {
            "training_data": training_data,
            "context_data": context_data,
            "indicators": tuple(indicators.values()),
            "fuzzy_sets": tuple(fuzzy_sets.values()),
            "nn_inputs": nn_inputs,
            "model": model,
            "decisions": decisions,
            "training": training,
        }
        return self._part(Shaped((), head | values), Strategy)

    def _part(self, shaped: Shaped, model: type[_Part], extra: tuple[str, ...] = ()) -> _Part | None:
        """The validated part; its problems are noted, except below a place that is known to be wrong already."""
        self.places[shaped.base] = shaped
        try:
            return model.model_validate(shaped.data)
        except ValidationError as error:
            known = {problem.path for problem in self.findings.problems}
            for problem in explain(error, model, shaped.path_of, extra):
                if not any(problem.path[:end] in known for end in range(len(problem.path) + 1)):
                    self.findings.problems.append(problem)
                    known.add(problem.path)
            return None

    def _mapping(self, section: str) -> dict[str, object]:
        value = self.root.get(section)
        found = {} if value is None else shapes.mapping_at(value, (section,), self.findings, "id: {...}")
        return {} if self._too_large(section, len(found)) else found

    def _list(self, section: str) -> list[object]:
        value = self.root.get(section)
        if value is None or isinstance(value, list):
            return [] if value is None or self._too_large(section, len(value)) else value
        self.findings.wrong((section,), f"is {shorten(value)}, which is not a list", "write each entry after a dash")
        return []

    def _too_large(self, section: str, count: int) -> bool:
        """What is too large is not read: each entry is held against all that is known to be wrong before it."""
        problems = list(check_size(section, count))
        self.findings.problems += problems
        return bool(problems)

    def _training_data(self, below_model: object) -> TrainingData | None:
        raw = self.root.get("training_data")
        if raw is None:
            return None
        ranges = (
            block.get("date_range") for block in (self.root.get("training"), below_model) if isinstance(block, dict)
        )
        elsewhere = next(filter(None, ranges), None)
        return self._part(shapes.training_data(raw, elsewhere, self.findings), TrainingData)

    def _context_series(self, position: int, raw: object) -> ContextSeries | None:
        return self._part(shapes.context_series(raw, position, self.findings), ContextSeries)

    def _indicator(self, indicator_id: str, raw: object) -> Indicator | None:
        path: Loc = ("indicators", indicator_id)
        if not isinstance(raw, dict):
            shapes.mapping_at(raw, path, self.findings, "type: rsi")
            return None
        given = raw.get("type")
        kind = find_indicator(given) if isinstance(given, str) else None
        if kind is None:
            message = "is missing" if given is None else f"is {shorten(given)!r}, which is no indicator"
            self.findings.wrong((*path, "type"), message, nearest(given, INDICATOR_NAMES))
            return None
        read = read_parameters(kind, shapes.indicator_parameters(raw, kind, path, self.findings))
        for key, message, hint in read.problems:
            self.findings.wrong((*path, key), message, hint)
        data: dict[str, object] = {"id": indicator_id, "type": kind.name, "data_source": raw.get("data_source")}
        if not read.problems:
            data["parameters"] = read.values
        indicator = self._part(Shaped(path, data, {("id",): path}), Indicator)
        return None if read.problems else indicator

    def _fuzzy_set(self, set_id: str, raw: object) -> FuzzySet | None:
        return self._part(shapes.fuzzy_set(raw, set_id, self.findings), FuzzySet)

    def _input(self, position: int, raw: object) -> FuzzyInput | RawInput | None:
        shaped = shapes.network_input(raw, position, self.findings)
        kind = shaped.data.get("kind")
        if kind is None:
            return None
        return self._part(shaped, RawInput) if kind == "raw" else self._part(shaped, FuzzyInput)

    def _model(self) -> BaseModel | None:
        raw = self.root.get("model")
        if raw is None:
            return None
        shaped, kind = shapes_learning.model(raw, self.findings)
        return None if kind is None else self._part(shaped, kind)

    def _decisions(self) -> Decisions | None:
        raw = self.root.get("decisions")
        return Decisions() if raw is None else self._part(shapes_learning.decisions(raw, self.findings), Decisions)

    def _training(self, below_model: object) -> Training | None:
        raw = self.root.get("training")
        if raw is None and below_model is None:
            return None
        decisions = self.root.get("decisions")
        wanted = decisions.get("output_format") if isinstance(decisions, dict) else None
        shaped = shapes_learning.training(
            {} if raw is None else raw, below_model, str(wanted).strip().lower(), self.findings
        )
        return self._part(shaped, Training, shapes_learning.TRAINING_KEYS)

    def _cross_check(self, parts: Parts) -> None:
        """The rules between parts. Where a whole section is unreadable, references into it are taken on trust."""
        known = {problem.path for problem in self.findings.problems}
        unreadable = {str(path[0]) for path in known if len(path) == 1}
        for problem in cross_check(parts):
            named = {"indicator": "indicators", "fuzzy_set": "fuzzy_sets"}.get(str(problem.path[-1]))
            if named not in unreadable and str(problem.path[0]) not in unreadable:
                self.findings.problems.append(replace(problem, path=self._file_path(problem.path)))

    def _file_path(self, path: Loc) -> Loc:
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]].path_of(path[end:])
        return path
