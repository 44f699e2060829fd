"""A strategy file of the user's: read with its size bounded, checked with every issue told, kept under its name."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from client.exits import CommandError, ExitCode, usage
from client.render_values import clean, count
from domain.cycle import StrategyRef
from domain.grammar.text import MAX_BYTES
from domain.results import Frozen
from domain.strategy import Strategy, StrategyInvalid, load_strategy, strategy_hash, trainability
from settings import Settings
from store.strategies import StrategyFiles


@dataclass(frozen=True)
class StrategyText:
    """A valid strategy and the text that it was read from."""

    text: str
    strategy: Strategy
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


class StrategyReport(Frozen):
    """What `research strategy validate` and `show` say of a strategy. trainable: by the engine of this version."""

    name: str
    strategy_hash: str
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    features: int
    trainable: bool
    lacks: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class KeptStrategy(Frozen):
    """A strategy of the strategies' folder with its text."""

    reference: StrategyRef
    text: str


class IssueView(Frozen):
    """One thing that is wrong with a file."""

    path: str
    line: int
    message: str
    hint: str = ""


class IssueList(Frozen):
    """All that is wrong with a file."""

    file: str
    issues: tuple[IssueView, ...]


def read_strategy(path: Path) -> StrategyText:
    """The strategy in a file. What is wrong with it is an error of usage, with each issue's line and field."""
    if not path.is_file():
        raise usage(f"there is no file {path}", "name a strategy file in YAML")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise usage(f"{path} has {count(size)} bytes; a strategy has at most {count(MAX_BYTES)}")
    again = shlex.join(["research", "strategy", "validate", str(path)])
    return parse_strategy(path.read_bytes(), str(path), f"correct the file, then `{again}`")


def parse_strategy(content: bytes, where: str, next_step: str) -> StrategyText:
    """The strategy that the text says. where: its name in an error, as read_strategy raises it; next_step: of that."""
    try:
        loaded = load_strategy(content)
    except StrategyInvalid as error:
        raise _invalid(where, error, next_step) from error
    return StrategyText(content.decode(), loaded.strategy, loaded.ignored, loaded.notes)


def kept_strategy(settings: Settings, name: str) -> KeptStrategy:
    """A strategy of the strategies' folder; an error that names the nearest where there is none of that name."""
    from difflib import get_close_matches

    files = StrategyFiles(settings.strategies)
    known = {reference.name: reference for reference in files.list()}
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise usage(f"there is no strategy {name[:80]!r}{hint}", "`research strategy list` shows their names")
    return KeptStrategy(reference=known[name], text=files.read(known[name]))


def require_researchable(settings: Settings, strategy: Strategy, symbol: str, timeframe: str) -> None:
    """Refuse a strategy that these bars cannot research, before anything is started for it."""
    import pandas as pd

    from domain.errors import ResearchError
    from engine.splits import split_symbols
    from engine.universe import load_universe

    base = strategy.training_data.base_timeframe
    if timeframe != base:
        raise usage(
            f"the strategy {strategy.name} is made for {base} bars, not for {timeframe}",
            f"leave --timeframe out, or change the file's timeframe {base}",
        )
    try:
        frames = load_universe(strategy, symbol, timeframe, settings.data).frames
        split_symbols(strategy, {name: pd.DatetimeIndex(frame.index) for name, frame in frames.items()})
    except ResearchError as error:
        raise CommandError(
            ExitCode.USAGE, error.code.value, error.message, "`research data list` shows from when to when bars reach"
        ) from error


def save_strategy(settings: Settings, strategy: StrategyText) -> StrategyRef:
    """Keep a strategy that the engine can train, so that a cycle can refer to it."""
    able = trainability(strategy.strategy)
    if not able.trainable:
        raise CommandError(
            ExitCode.USAGE,
            "invalid_strategy",
            f"{strategy.strategy.name} is valid, but this version cannot train it: {'; '.join(able.lacks)}",
            "change these, then start again; `research strategy validate FILE` checks the file alone",
        )
    return StrategyFiles(settings.strategies).save(strategy.strategy.name, strategy.text)


def report_on(found: StrategyText) -> StrategyReport:
    """The report on a valid strategy."""
    able = trainability(found.strategy)
    return StrategyReport(
        name=found.strategy.name,
        strategy_hash=strategy_hash(found.strategy),
        symbols=found.strategy.training_data.symbols,
        timeframes=found.strategy.training_data.timeframes,
        features=len(found.strategy.features),
        trainable=able.trainable,
        lacks=able.lacks,
        ignored=found.ignored,
        notes=(*found.notes, *able.notes),
    )


def _invalid(where: str, error: StrategyInvalid, next_step: str) -> CommandError:
    issues = tuple(IssueView(path=i.path, line=i.line, message=i.message, hint=i.hint) for i in error.issues)
    lines = "".join(f"\n  {where}:{issue.line}: {_in_words(issue)}" for issue in issues)
    problems = "one problem" if len(issues) == 1 else f"{len(issues)} problems"
    return CommandError(
        ExitCode.USAGE,
        "invalid_strategy",
        clean(f"{where} is not a valid strategy, {problems}:{lines}"),
        next_step,
        {"strategy": IssueList(file=where, issues=issues)},
    )


def _in_words(issue: IssueView) -> str:
    return f"{issue.path} {issue.message}".strip() + (f" ({issue.hint})" if issue.hint else "")
