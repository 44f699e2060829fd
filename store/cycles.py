"""The store: every ended cycle, and what designers may learn from them.

A record is written once, under the run id that Temporal gave; writing it again changes nothing. A record that was
changed from outside is an error where it is asked for by its cycle; where it is one of many it is left out, with a
warning that names it.

All methods block, so activities call them in threads. All errors are ResearchErrors: store_unavailable where the
database or a record cannot be used, data_unavailable where a memory snapshot is asked for that this store does not
hold.
"""

import builtins
import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import Engine
from sqlmodel import col

from domain.cycle import CycleStatus, MemorySnapshot, Outcome, TrialRecord
from domain.errors import ErrorCode, ResearchError
from domain.memory import Experiment, ExperimentDetail, HypothesisRecord, OpenHypothesis, Precedent
from domain.results import OPEN_STATUSES, HypothesisStatus
from store import database, hypotheses, ranking
from store.experiments import (
    Order,
    detail_from,
    experiment_from,
    precedent_from,
    record_text,
    select_detail,
    select_experiments,
    select_precedents,
)
from store.memory import MAX_TRIALS, SHOWS_SOMETHING, select_trials, snapshot_of, trial_from
from store.ranking import BarsTested, By, Conditions, Wanted, is_latest, number_in
from store.rows import columns, insertion
from store.strategies import DesignFacts
from store.tables import RECORD_VERSION, CycleRow

Row = sa.Row[*tuple[Any, ...]]
Read = TypeVar("Read")

_SNAPSHOT = re.compile(r"m(\d{1,18})-[0-9a-f]{8}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Store:
    """The experiments of one database. Safe to share between threads."""

    engine: Engine

    @classmethod
    def open(cls, url: str, *, migrate: bool = False) -> "Store":
        """Open the database; with migrate, make it or bring it up to date first."""
        if migrate:
            database.migrate(url)
        engine = database.connect(url)
        try:
            database.check(engine)
        except ResearchError:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def record(self, status: CycleStatus, design: DesignFacts | None = None) -> bool:
        """Keep an ended run; True if it was not known yet. What stands under a run id is never overwritten."""
        with database.reporting(self.engine, "written"), database.writing(self.engine) as connection:
            row = connection.execute(insertion(self.engine.dialect.name, columns(status, design))).scalar()
            if row is not None and status.assessment is not None:
                hypotheses.keep(connection, row, status.assessment)
        return row is not None

    def get(self, cycle_id: str) -> CycleStatus | None:
        """The cycle's latest run; None if the store has none."""
        rows = self._records(col(CycleRow.cycle_id) == cycle_id, limit=1)
        return _status(rows[0]) if rows else None

    def run(self, run_id: str) -> CycleStatus | None:
        """The record of one run; None if the store has none."""
        rows = self._records(col(CycleRow.run_id) == run_id, limit=1)
        return _status(rows[0]) if rows else None

    def list(
        self, limit: int = 50, outcome: Outcome | None = None, symbol: str | None = None
    ) -> tuple[CycleStatus, ...]:
        """The latest run of each cycle, newest first."""
        wanted: Conditions = [is_latest()]
        if outcome is not None:
            wanted.append(col(CycleRow.outcome) == outcome.value)
        if symbol is not None:
            wanted.append(col(CycleRow.symbol) == symbol)
        return _readable(_status, self._records(*wanted, limit=limit))

    def tested(self, wanted: Wanted) -> tuple[BarsTested, ...]:
        """The bars of which there are such backtests, and the lengths of their backtest's parts."""
        rows = self._rows(ranking.select_trials_known(wanted))
        # Where a store was begun anew, a record may know of more trials than the store.
        known = {(row.symbol, row.timeframe): max(row.found, number_in(row.knew) or 0) for row in rows}
        return tuple(
            BarsTested(row.symbol, row.timeframe, number_in(row.years), int(known[row.symbol, row.timeframe]))
            for row in self._rows(ranking.select_lengths(wanted))
        )

    def best(self, wanted: Wanted, by: By, limit: int) -> tuple[int, ...]:
        """The numbers of the rows with the best backtests by one figure, the best first."""
        return tuple(row.id for row in self._rows(ranking.select_best(wanted, by, limit)))

    def best_excess(self, wanted: Wanted, tested: BarsTested, limit: int) -> tuple[tuple[int, float | None], ...]:
        """(row, lower bound of the excess Sharpe) of the best of those that are to be deflated anew, the best first."""
        rows = self._rows(ranking.select_excess(wanted, tested, limit)) if tested.deflates else ()
        return tuple((row.id, number_in(row.excess_low)) for row in rows)

    def deflated_as_made(self, wanted: Wanted, tested: BarsTested) -> tuple[int, ...]:
        """The rows of those that are deflated in full already: the newest."""
        return tuple(row.id for row in self._rows(ranking.select_as_made(wanted, tested)))

    def numbered(self, rows: Collection[int]) -> tuple[tuple[int, CycleStatus], ...]:
        """The records of these rows, newest first, each with its row."""
        return _readable(lambda row: (row.id, _status(row)), self._records(col(CycleRow.id).in_(rows), limit=None))

    def snapshot(self, symbol: str, timeframe: str, up_to: str | None = None) -> MemorySnapshot:
        """What is known of strategies for these bars, or what was known when the snapshot `up_to` was taken.

        Holds completed, rejected and failed cycles with a design, the oldest first, at most the newest MAX_TRIALS.
        Errors: data_unavailable if this store cannot give `up_to` again.
        """
        wanted: Conditions = [
            col(CycleRow.symbol) == symbol,
            col(CycleRow.timeframe) == timeframe,
            *SHOWS_SOMETHING,
        ]
        if up_to is not None:
            wanted.append(col(CycleRow.id) <= _last_row(up_to))
        query = select_trials().where(*wanted).order_by(col(CycleRow.id).desc()).limit(MAX_TRIALS)
        with database.reporting(self.engine, "read"), database.reading(self.engine) as connection:
            rows = connection.execute(query).all()
        trials = _readable(lambda row: (row.id, _trial(row)), rows[::-1])
        snapshot = snapshot_of(symbol, timeframe, trials)
        if up_to not in (None, snapshot.id):
            raise _no_snapshot(f"the memory snapshot {up_to} is not one of {symbol} {timeframe} in this store")
        return snapshot

    def trials(self, symbol: str, timeframe: str) -> int:
        """How many recorded backtests there are of the symbol at the timeframe.

        It errs to the strict side: repeats count, and so do backtests on bars that were imported anew since, because a
        few more bars, or other ones of the same market, make no fresh start.
        """
        query = sa.select(sa.func.count()).where(
            col(CycleRow.symbol) == symbol, col(CycleRow.timeframe) == timeframe, col(CycleRow.backtested).is_(True)
        )
        with database.reporting(self.engine, "read"), database.reading(self.engine) as connection:
            return connection.execute(query).scalar_one()

    def strategy_known(self, strategy_hash: str, up_to: str | None = None) -> str | None:
        """The cycle that first ran a strategy of this canonical hash; with a snapshot's id, as of that snapshot."""
        query = sa.select(col(CycleRow.cycle_id)).where(col(CycleRow.strategy_hash) == strategy_hash)
        if up_to is not None:
            query = query.where(col(CycleRow.id) <= _last_row(up_to))
        with database.reporting(self.engine, "read"), database.reading(self.engine) as connection:
            return connection.execute(query.order_by(col(CycleRow.id)).limit(1)).scalar()

    def hypotheses(
        self,
        symbol: str | None = None,
        statuses: Collection[HypothesisStatus] | None = None,
        *,
        ids: Collection[str] | None = None,
        strategy_hash: str | None = None,
        up_to: str | None = None,
        limit: int = 50,
    ) -> tuple[HypothesisRecord, ...]:
        """The hypotheses that fit all that is given, newest first: by the symbol or the strategy of the cycle that left
        them, by status, by id; with a snapshot's id, as of that snapshot.
        """
        query = hypotheses.select_hypotheses(
            symbol=symbol,
            statuses=statuses,
            numbers=None if ids is None else [hypotheses.number_of(each) for each in ids],
            strategy_hash=strategy_hash,
            up_to=None if up_to is None else _last_row(up_to),
        )
        return _readable(_named(hypotheses.hypothesis_from), self._rows(query.limit(limit)))

    def open_hypotheses(self, symbol: str, up_to: str, limit: int = 20) -> tuple[OpenHypothesis, ...]:
        """The open hypotheses of cycles on the symbol, as of a memory snapshot, as a designer may know them."""
        query = hypotheses.select_hypotheses(symbol=symbol, statuses=OPEN_STATUSES, up_to=_last_row(up_to))
        rows = self._rows(query.add_columns(record_text("record")).limit(limit))
        return _readable(_named(hypotheses.blinded_from), rows)

    def experiments(
        self,
        symbol: str,
        timeframe: str | None = None,
        up_to: str | None = None,
        *,
        outcome: Outcome | None = None,
        order: Order = "newest",
        limit: int = 20,
    ) -> tuple[Experiment, ...]:
        """What designers may know of earlier cycles; with a snapshot's id, as of that snapshot."""
        row = None if up_to is None else _last_row(up_to)
        query = select_experiments(symbol=symbol, timeframe=timeframe, up_to=row, outcome=outcome, order=order)
        return _readable(_named(experiment_from), self._rows(query.limit(limit)))

    def experiment(self, cycle_id: str, up_to: str | None = None) -> ExperimentDetail | None:
        """What a designer may know of one earlier cycle; None where it has none, or had none at that snapshot."""
        query = select_detail(cycle_id, None if up_to is None else _last_row(up_to))
        rows = self._rows(query.limit(1))
        return _named(detail_from)(rows[0]) if rows else None

    def precedents(self, symbol: str, but: str, up_to: str, limit: int = 100) -> tuple[Precedent, ...]:
        """Backtested cycles on the symbol but for one, as of a snapshot, newest first.

        For assessors alone, since it tells of backtests.
        """
        rows = self._rows(select_precedents(symbol, but, _last_row(up_to)).limit(limit))
        return _readable(_named(precedent_from), rows)

    def design(self, cycle_id: str) -> DesignFacts | None:
        """The strategy that the cycle's latest run had, as it was recorded; None where there was none."""
        query = (
            sa.select(
                col(CycleRow.id),
                col(CycleRow.cycle_id),
                col(CycleRow.strategy_text),
                col(CycleRow.strategy_hash),
                col(CycleRow.parameters),
            )
            .where(col(CycleRow.cycle_id) == cycle_id)
            .order_by(col(CycleRow.id).desc())
            .limit(1)
        )
        with database.reporting(self.engine, "read"), database.reading(self.engine) as connection:
            row = connection.execute(query).first()
        if row is None or row.strategy_text is None:
            return None
        with _naming(row):
            return DesignFacts(text=row.strategy_text, strategy_hash=row.strategy_hash, parameters=row.parameters)

    def _records(self, *wanted: sa.ColumnElement[bool], limit: int | None) -> Sequence[Row]:
        columns: builtins.list[Any] = [
            col(CycleRow.id),
            col(CycleRow.cycle_id),
            col(CycleRow.record_version),
            record_text("status"),
        ]
        return self._rows(sa.select(*columns).where(*wanted).order_by(col(CycleRow.id).desc()).limit(limit))

    def _rows(self, query: sa.Select[Any]) -> Sequence[Row]:
        with database.reporting(self.engine, "read"), database.reading(self.engine) as connection:
            try:
                return connection.execute(query).all()
            except ValueError as error:
                raise ResearchError(
                    ErrorCode.STORE_UNAVAILABLE,
                    f"a row of the store cannot be read: {error}. It was changed from outside: put a copy of the store "
                    "back",
                ) from error


def _readable(read: Callable[[Row], Read], rows: Sequence[Row]) -> tuple[Read, ...]:
    """What the rows hold, without those that cannot be read: each of these is named in a warning."""
    found: builtins.list[Read] = []
    for row in rows:
        try:
            found.append(read(row))
        except ResearchError as error:
            log.warning("left out: %s", error.message)
    return tuple(found)


def _status(row: Row) -> CycleStatus:
    version = row.record_version
    if isinstance(version, int) and version > RECORD_VERSION:
        raise ResearchError(
            ErrorCode.STORE_UNAVAILABLE,
            f"{_what(row)} was written by a newer version of this program (form {version}, known here up to "
            f"{RECORD_VERSION}). Update the program to read it",
        )
    with _naming(row):
        return CycleStatus.model_validate_json(row.status)


def _trial(row: Row) -> TrialRecord:
    with _naming(row):
        return trial_from(row)


def _named(read: Callable[[Row], Read]) -> Callable[[Row], Read]:
    """The same reader; what it cannot read it tells by the row's name."""

    def reading(row: Row) -> Read:
        with _naming(row):
            return read(row)

    return reading


@contextmanager
def _naming(row: Row) -> Iterator[None]:
    """Tell by the row's name of values that are not what was written."""
    try:
        yield
    except ValueError as error:
        raise ResearchError(
            ErrorCode.STORE_UNAVAILABLE,
            f"{_what(row)} in the store cannot be read: {_why(error)}. It was changed from outside: put a copy of the "
            "store back",
        ) from error


def _why(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{where}: {first['msg']}"


def _what(row: Row) -> str:
    if "raised_by" in row._fields:
        return f"the hypothesis h{row.id} of cycle {row.raised_by}"
    return f"the record of cycle {row.cycle_id} (row {row.id})"


def _last_row(snapshot: str) -> int:
    found = _SNAPSHOT.fullmatch(snapshot)
    if found is None:
        raise _no_snapshot(f"{snapshot!r} is not the id of a memory snapshot")
    return int(found[1])


def _no_snapshot(what: str) -> ResearchError:
    advice = "Take an id that `research show CYCLE` prints, made with this store, or leave it out for the present state"
    return ResearchError(ErrorCode.DATA_UNAVAILABLE, f"{what}. {advice}")
