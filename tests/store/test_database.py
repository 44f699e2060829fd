"""Opening a database: made once by however many processes, and every way it can be unusable says what to do."""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from domain.cycle import CycleStatus
from domain.errors import ErrorCode, ResearchError
from store import database
from store.cycles import Store

MakeCycle = Callable[..., CycleStatus]


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_processes_that_migrate_at_once_leave_one_whole_schema(
    url: str, at_once: Callable[[str, Sequence[Sequence[str]]], list[str]]
) -> None:
    at_once("from store.database import migrate\nmigrate(sys.argv[1])\n", [[url]] * 2)
    store = Store.open(url)
    assert store.list() == ()
    store.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_newest_migration_is_the_schema_that_is_asked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [database.SCHEMA]


def test_migrating_again_keeps_what_is_there(url: str, store: Store, ended: MakeCycle) -> None:
    store.record(ended())
    database.migrate(url)
    assert store.get("cycle-1") == ended()


def test_sqlite_runs_in_wal_mode_waits_for_others_and_checks_keys(store: Store) -> None:
    with store.engine.connect() as connection:
        pragmas = {
            name: connection.execute(sa.text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1}


def test_a_reader_is_not_held_up_by_a_writer(store: Store, ended: MakeCycle) -> None:
    store.record(ended())
    with database.writing(store.engine) as writer:
        writer.execute(sa.text("UPDATE cycles SET cycle_id = 'being written'"))
        assert store.get("cycle-1") == ended()


def test_a_transaction_that_fails_leaves_nothing_behind(store: Store, ended: MakeCycle) -> None:
    store.record(ended())
    left = sa.text("INSERT INTO hypotheses VALUES (:id, :cycle, 1, 't', 'r')")
    with (
        pytest.raises(ResearchError, match="FOREIGN KEY") as refused,
        database.reporting(store.engine, "written"),
        database.writing(store.engine) as connection,
    ):
        connection.execute(left, [{"id": 1, "cycle": 1}, {"id": 2, "cycle": 99}])
    assert refused.value.code is ErrorCode.INTERNAL_ERROR
    assert store.hypotheses("EURUSD") == ()


@pytest.mark.parametrize("statement", ["SELECT :not_given", "INSERT INTO cycles (id) VALUES (1)"])
def test_what_a_working_database_refuses_is_a_defect_and_not_an_outage(store: Store, statement: str) -> None:
    with (
        pytest.raises(ResearchError, match="could not be written") as refused,
        database.reporting(store.engine, "written"),
        database.writing(store.engine) as connection,
    ):
        connection.execute(sa.text(statement))
    assert refused.value.code is ErrorCode.INTERNAL_ERROR


def _missing(path: Path) -> None:
    path.unlink()


def _not_a_database(path: Path) -> None:
    path.write_bytes(b"not a database at all, " * 100)


def _torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _from_the_future(path: Path) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")


def _without_a_schema(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE other (id INTEGER)")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_missing, r"there is no store at .*research\.db yet.*research dev"),
        (_not_a_database, r"file is not a database.*put a copy of it back, or move it away"),
        (_torn, r"malformed.*put a copy of it back, or move it away"),
        (_a_folder, r"there is no store at"),
        (_from_the_future, r"written by a newer version.*schema 9999, known here up to 0003.*Update the program"),
        (_without_a_schema, r"has schema none, this version needs 0003.*research worker"),
    ],
)
def test_a_database_that_cannot_be_used_says_why_and_what_to_do(
    url: str, store: Store, damage: Callable[[Path], None], says: str
) -> None:
    store.close()
    damage(_path(url))
    with pytest.raises(ResearchError, match=says) as refused:
        Store.open(url).list()
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE


def test_a_worker_does_not_migrate_a_database_of_a_newer_version(url: str, store: Store) -> None:
    store.close()
    _from_the_future(_path(url))
    with pytest.raises(ResearchError, match="newer version"):
        Store.open(url, migrate=True)


def test_a_database_that_goes_away_while_in_use_is_unavailable(url: str, store: Store, ended: MakeCycle) -> None:
    store.close()
    shutil.rmtree(_path(url).parent)
    with pytest.raises(ResearchError, match="Check the path") as refused:
        store.record(ended())
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no url", "is not a database URL"),
        ("mysql://user:geheim@host/research", "names mysql; the store is SQLite or PostgreSQL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite+nothing:////tmp/research.db", "is not a database URL"),
        ("sqlite:////proc/none/research.db", "Check the path"),
    ],
)
def test_a_url_that_names_no_usable_database_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(ResearchError, match=says) as refused:
        Store.open(url, migrate=True)
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE
    assert "geheim" not in refused.value.message
