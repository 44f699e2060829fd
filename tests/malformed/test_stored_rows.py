"""Rows that somebody or something changed: told by name or left out, and every other row is still there."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from pydantic import ValidationError

from client.exits import ExitCode
from domain.cycle import CycleStatus
from domain.errors import ErrorCode, ResearchError
from domain.results import HypothesisStatus
from store.cycles import Store
from store.strategies import DesignFacts

from .conftest import Tried, typed
from .ended_cycles import ended_cycles
from .trees import changed, cut, odd

CYCLES = {cycle.cycle_id: cycle for cycle in ended_cycles()}
RECORDS = {name: cycle.model_dump(mode="json") for name, cycle in CYCLES.items()}
CELLS = st.sampled_from(
    [
        None,
        "",
        "x",
        "nan",
        -1,
        2,
        10**18,
        9e999,
        b"\xff\0",
        bytearray(b"\xff\0"),
        "x" * 100_000,
        "[]",
        "\0",
        "0001-01-01",
        "999999-99-99",
    ]
)


class Change(NamedTuple):
    """One cell of one row says something else. Bytes are text that may not be UTF-8; a bytearray is no text."""

    table: str
    column: str
    cycle: str
    value: Any


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the cycles in it, which nobody has touched."""
    path = tmp_path_factory.mktemp("store") / "research.db"
    store = Store.open(f"sqlite:///{path}", migrate=True)
    for cycle in CYCLES.values():
        facts = DesignFacts(text="name: offline_1\n", strategy_hash=cycle.run_id, parameters="{}")
        store.record(cycle, facts if cycle.strategy else None)
    store.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture(scope="module")
def changes(whole: Path) -> st.SearchStrategy[Change]:
    """What can be said otherwise, in every column that there is but a row's number."""
    with closing(sqlite3.connect(whole)) as database:
        columns = {
            table: [
                row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] not in ("id", "cycle_row")
            ]
            for table in ("cycles", "hypotheses", "settlements")
        }
    names = st.sampled_from(list(CYCLES))
    cells = [st.builds(Change, st.just(table), st.sampled_from(columns[table]), names, CELLS) for table in columns]
    records = names.flatmap(
        lambda name: st.builds(
            Change,
            st.just("cycles"),
            st.just("status"),
            st.just(name),
            changed(RECORDS[name]).map(json.dumps) | cut(json.dumps(RECORDS[name]).encode()),
        )
    )
    return st.one_of(cells) | records


def test_a_changed_row_is_told_by_name_or_left_out_and_the_others_are_as_they_were(
    whole: Path, changes: st.SearchStrategy[Change], tmp_path: Path, tried: Tried
) -> None:
    path = tmp_path / "research.db"

    def check(made: list[Change]) -> None:
        touched = change(whole, path, made)
        untouched = CYCLES.keys() - touched
        store = Store.open(f"sqlite:///{path}")
        try:
            for name, cycle in CYCLES.items():
                found = read_or_told(lambda: store.get(name), name)  # noqa: B023
                assert name in touched or found == cycle
                read_or_told(lambda: store.design(name), name)  # noqa: B023
                read_or_told(lambda: store.strategy_known(cycle.run_id), name)  # noqa: B023
            assert untouched <= {cycle.cycle_id for cycle in store.list() if cycle == CYCLES.get(cycle.cycle_id)}
            trials = store.snapshot("EURUSD", "1h").trials
            assert {name for name in untouched if CYCLES[name].strategy} <= {trial.cycle_id for trial in trials}
            assert store.trials("EURUSD", "1h") >= ("cycle-completed" in untouched)
            told = {each.id: each.status for each in store.hypotheses("EURUSD")}
            assert touched & {"cycle-completed", "cycle-settling"} or told == {"h1": HypothesisStatus.REFUTED}
            store.open_hypotheses("EURUSD", "m9-00000000")
        finally:
            store.close()

    tried(check, st.lists(changes, min_size=1, max_size=3), examples=100)


def test_a_record_that_is_left_out_of_many_is_named_in_a_warning(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "research.db"
    change(whole, path, [Change("cycles", "status", "cycle-failed", '{"cycle_id": "cycle-fai')])

    store = Store.open(f"sqlite:///{path}")
    listed = store.list()
    store.close()

    assert {cycle.cycle_id for cycle in listed} == CYCLES.keys() - {"cycle-failed"}
    assert "left out: the record of cycle cycle-failed (row 3) in the store cannot be read" in caplog.text


def test_a_record_that_cannot_be_shown_is_told_of_with_the_server_that_does_not_answer(whole: Path, home: Path) -> None:
    home.mkdir()
    change(whole, home / "research.db", [Change("cycles", "status", "cycle-failed", "{")])

    ran = typed("show", "cycle-failed")

    assert ran.code == ExitCode.NO_TEMPORAL_OR_WORKER
    assert "no Temporal server answers" in ran.err
    assert "the record of cycle cycle-failed (row 3) in the store cannot be read" in ran.err


def test_an_odd_record_is_shown_whatever_it_says_and_wherever_it_is_read(
    whole: Path, home: Path, tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()

    def check(cycle: CycleStatus, zone: str, form: str) -> None:
        made = Change("cycles", "status", "cycle-completed", cycle.model_dump_json())
        change(whole, home / "research.db", [made])
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        ran = typed("show", "cycle-completed", "-o", form)
        assert ran.is_told, ran.err[-900:]
        assert ran.code == ExitCode.OK
        assert form == "text" or json.loads(ran.out)["cycle"]["cycle_id"] == cycle.cycle_id

    zones, forms = ["UTC", "America/New_York", "Asia/Tokyo"], ["text", "text", "json"]
    try:
        tried(check, odd_records(), st.sampled_from(zones), st.sampled_from(forms), examples=60)
    finally:
        monkeypatch.undo()
        time.tzset()


@st.composite
def odd_records(draw: st.DrawFn) -> CycleStatus:
    """A cycle that can be read, and says what none would say."""
    record = draw(st.sampled_from(list(RECORDS.values())))
    for _ in range(8):
        other = draw(odd(record))
        with suppress(ValidationError):
            CycleStatus.model_validate_json(json.dumps(other))
            record = other
    return CycleStatus.model_validate_json(json.dumps(record))


def change(whole: Path, path: Path, made: list[Change]) -> set[str]:
    """Copy the store and change it; the cycles that are no longer as they were. What SQLite refuses stays."""
    shutil.copy(whole, path)
    touched = set()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for table, column, cycle, value in made:
            new = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
            row = "id" if table == "cycles" else "cycle_row"
            # The columns' names are the schema's own.
            statement = f"UPDATE {table} SET {column} = {new} WHERE {row} = ?"
            with suppress(sqlite3.IntegrityError):
                if database.execute(statement, (value, list(CYCLES).index(cycle) + 1)).rowcount:
                    touched.add(cycle)
    return touched


def read_or_told(read: Callable[[], Any], name: str) -> Any:
    """What was read; None where it was told that the cycle's record cannot be used."""
    try:
        return read()
    except ResearchError as error:
        if error.code is not ErrorCode.STORE_UNAVAILABLE or f"the record of cycle {name} " not in error.message:
            raise
        return None
