"""What an honest engine promises of time, each as a question that a leak would answer wrongly.

Nothing here asks the engine where its parts lie or what it knew when: the moments are reckoned anew, and what a
backtest says is held against a second path, bar by bar from bars that end where knowledge ended.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from domain.results import BacktestResult
from domain.strategy import Strategy
from engine import backtest, dataset, features
from engine.interface import BacktestJob, Places
from engine.model import Model

SYMBOL = "EURUSD"
FEE = 0.00002 + 0.00003


@dataclass(frozen=True)
class Case:
    """A trained strategy on its bars, and where a backtest of it can be run."""

    strategy: Strategy
    model: Model
    job: BacktestJob
    places: Places
    frame: pd.DataFrame
    folder: Path

    @property
    def sealed(self) -> int:
        """Where the lockbox begins."""
        return round(len(self.frame) * 0.85)

    @property
    def tested(self) -> int:
        """Where the backtest begins."""
        return round(self.sealed * 0.65 / 0.85)

    @property
    def validated(self) -> int:
        """Where validation begins."""
        return round(self.tested * 0.50 / 0.65)

    @property
    def ended(self) -> int:
        """Where the backtest ends: as far before the lockbox as a label looks."""
        return self.sealed - self.strategy.training.labels.lookahead

    @cached_property
    def result(self) -> BacktestResult:
        self.folder.mkdir(parents=True)
        return backtest.run_backtest(self.job, self.places, self.folder, PurePosixPath("a/b"), lambda _: None)

    @cached_property
    def curves(self) -> pd.DataFrame:
        assert self.result
        return pd.read_parquet(self.folder / "equity.parquet")

    @cached_property
    def opens(self) -> np.ndarray:
        return self.frame["open"].to_numpy()[self.tested : self.ended]

    @cached_property
    def worth(self) -> np.ndarray:
        """What the positions that were held come to at each open, fill by fill."""
        equity, held, paid, worth = 1.0, 0.0, 0.0, []
        for wanted, price in zip(self.curves["position"], self.opens, strict=True):
            equity += held * (price - paid)
            paid = price
            if wanted != np.sign(held):
                equity -= abs(held) * price * FEE
                held = wanted * equity / (1 + FEE) / price
                equity -= abs(held) * price * FEE
            worth.append(equity)
        return np.array(worth)

    @cached_property
    def returns(self) -> np.ndarray:
        before = np.concatenate(([1.0], self.worth[1:-1]))
        return self.worth[1:] / before - 1


def futures(frame: pd.DataFrame, now: int) -> Iterator[pd.DataFrame]:
    """The bars before position `now`, with no future, and with some that never were."""
    yield frame.iloc[:now]
    for seed, drift in ((1, 0.0), (2, 0.002), (3, -0.002)):
        chance = np.random.default_rng(seed)
        ahead = len(frame) - now
        changed, moved = frame.copy(), np.exp(np.cumsum(chance.normal(drift, 0.004, ahead)))
        factors = dict.fromkeys(("open", "high", "low", "close"), moved) | {"volume": chance.uniform(0, 5, ahead)}
        for name, factor in factors.items():
            changed[name] = np.concatenate((frame[name].to_numpy()[:now], frame[name].to_numpy()[now:] * factor))
        yield changed


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def features_know_no_future(case: Case) -> bool:
    scalers = case.model.scalers(SYMBOL)
    known, _ = features.build_features(case.strategy, case.frame, scalers)
    return all(
        same(features.build_features(case.strategy, other, scalers)[0][:now], known[:now])
        for now in (40, 61, 1501, case.tested + 3)
        for other in futures(case.frame, now)
    )


def train_knows_nothing_of_validation(case: Case) -> bool:
    return _learnt_alike(case, case.validated, ("train",))


def nothing_learnt_knows_the_backtest(case: Case) -> bool:
    return _learnt_alike(case, case.tested, ("train", "validation"))


def _learnt_alike(case: Case, now: int, parts: tuple[str, ...]) -> bool:
    known = dataset.prepare(case.strategy, {SYMBOL: case.frame})
    for other in list(futures(case.frame, now))[1:]:
        learnt = dataset.prepare(case.strategy, {SYMBOL: other})
        if learnt.scalers != known.scalers:
            return False
        for part in parts:
            one, two = getattr(known, part), getattr(learnt, part)
            pairs = ((getattr(one, name), getattr(two, name)) for name in ("ends", "targets", "weights"))
            if not all(same(*pair) for pair in (*pairs, (one.features[one.ends], two.features[two.ends]))):
                return False
    return True


def signals_know_no_future(case: Case) -> bool:
    def held(frame: pd.DataFrame) -> np.ndarray:
        stop = min(case.ended, len(frame))
        return np.asarray(
            backtest.signal_positions(case.strategy, case.model, SYMBOL, frame.iloc[:stop], slice(case.tested, stop))
        )

    known = held(case.frame)
    return all(
        same(held(other)[: now - case.tested], known[: now - case.tested])
        for now in range(case.tested + 40, case.ended, 251)
        for other in futures(case.frame, now)
    )


def the_backtest_keeps_to_its_part(case: Case) -> bool:
    return list(case.curves["time"]) == list(case.frame.index[case.tested : case.ended])


def what_is_held_was_decided_before_its_open(case: Case) -> bool:
    def decided(at: int) -> int:
        known = case.frame.iloc[:at]
        held = backtest.signal_positions(case.strategy, case.model, SYMBOL, known, slice(case.tested, at))
        return int(held[-1])

    position = case.curves["position"].to_numpy()
    changes = np.flatnonzero(np.diff(position[:-1])) + 1
    return position[0] == 0 and all(position[at] == decided(case.tested + at) for at in changes[:25].tolist())


def equity_is_that_of_the_fills_at_the_opens(case: Case) -> bool:
    benchmark = case.opens / case.opens[0]
    return np.allclose(case.curves["equity"], case.worth, rtol=1e-9) and np.allclose(
        case.curves["buy_and_hold"], benchmark, rtol=1e-12
    )


def the_interval_is_that_of_the_jobs_seed(case: Case) -> bool:
    length = float(optimal_block_length(case.returns)["stationary"].iloc[0])
    block = min(max(round(length), 1), len(case.returns) // 4)
    drawn = StationaryBootstrap(block, case.returns, seed=np.random.default_rng(case.job.seed))
    years = (case.frame.index[case.ended - 1] - case.frame.index[case.tested]).total_seconds() / (365.25 * 86_400)
    scale = np.sqrt(len(case.returns) / years)
    found = drawn.conf_int(lambda r: np.array([r.mean() / r.std(ddof=1)]), reps=1000, method="percentile")[:, 0] * scale
    interval = case.result.sharpe_interval
    return interval is not None and bool(np.allclose((interval.low, interval.high), found, rtol=1e-6))


def luck_is_that_of_the_jobs_seed(case: Case) -> bool:
    targets = case.curves["position"].to_numpy()[:-1]
    chance = np.random.default_rng(case.job.seed)
    moved = chance.choice(len(targets) - 1, size=min(200, len(targets) - 1), replace=False) + 1
    below = 0.0
    for by in moved.tolist():
        rolled = np.roll(targets, by)
        equity, at = 1.0, 0
        for start in [0, *(np.flatnonzero(np.diff(rolled)) + 1).tolist(), len(rolled)]:
            side = rolled[at]
            if start > at and side:
                equity /= 1 + FEE
                ratio = case.opens[start] / case.opens[at]
                equity *= 1 + side * (ratio - 1) - FEE * ratio
            at = min(start, len(rolled) - 1)
        below += 1.0 if equity < case.worth[-1] - 1e-12 else 0.5 * (abs(equity - case.worth[-1]) <= 1e-12)
    found = case.result.luck_percentile
    return found is not None and abs(found - below / len(moved)) < 0.006


def regimes_are_known_at_the_open(case: Case) -> bool:
    closes = case.frame["close"].to_numpy()
    rising = [closes[at - 1] >= closes[at - 200 : at].mean() for at in range(case.tested, case.ended - 1)]
    said = [one.bars for one in case.result.by_regime if one.name.startswith("trend up")]
    return sum(said) == sum(rising)


PROMISES: tuple[Callable[[Case], bool], ...] = (
    features_know_no_future,
    train_knows_nothing_of_validation,
    nothing_learnt_knows_the_backtest,
    signals_know_no_future,
    the_backtest_keeps_to_its_part,
    what_is_held_was_decided_before_its_open,
    equity_is_that_of_the_fills_at_the_opens,
    the_interval_is_that_of_the_jobs_seed,
    luck_is_that_of_the_jobs_seed,
    regimes_are_known_at_the_open,
)


def broken(case: Case) -> Iterator[str]:
    """The names of the promises that the engine breaks, the cheap ones first."""
    return (promise.__name__ for promise in PROMISES if not promise(case))
