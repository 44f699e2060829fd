"""Where the store lives: SQLite in a file by default, PostgreSQL by URL. Opening, transactions, migrations, errors.

SQLite runs in WAL mode with a busy timeout; a transaction that will write says so at its start (BEGIN IMMEDIATE), so
that it waits for its turn instead of failing in the middle. Migrations run in one transaction under one lock: of two
processes that migrate at once, one does it and the other finds it done.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from domain.errors import ErrorCode, ResearchError

SCHEMA = "0003"
"""The newest migration's name. Names are numbers of four digits, so that their order is their age."""

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
BUSY_SECONDS = 30
_LOCK_NUMBER = 0x6B74_7264
"""Any fixed number: PostgreSQL's advisory lock of migrations and of records."""

_NO_URL = "RESEARCH_DATABASE_URL is not a database URL; one looks like sqlite:////path/to/research.db"

_OUTAGES = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    sqlite3.OperationalError,
    sqlite3.InterfaceError,
    OSError,
)
_DEFECT = "The store works but refused this, which is a defect of the program: report it, with the worker's log"

_alembic_in_this_process = threading.Lock()


def connect(url: str) -> Engine:
    """An engine for the URL; connects to nothing yet.

    Errors: store_unavailable for a URL that names no database of the two kinds, or a driver that is not installed.
    """
    parsed = _parsed(url)
    try:
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True)
        engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
    except ModuleNotFoundError as error:
        message = f"the database driver {error.name} is not installed; install this project with the extra postgres"
        raise _unavailable(message) from error
    except NoSuchModuleError:
        raise _unavailable(_NO_URL) from None
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def migrate(url: str) -> None:
    """Bring the database to SCHEMA, creating it where there is none. Safe in any number of processes at once.

    Errors: store_unavailable, also for a database that a newer version of this program has written.
    """
    engine = connect(url)
    try:
        with reporting(engine, "prepared"):
            if engine.dialect.name == "sqlite":
                Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
                _use_wal(engine)
            with writing(engine) as connection:
                if _revision(connection, engine) != SCHEMA:
                    _upgrade(connection)
    finally:
        engine.dispose()


def check(engine: Engine) -> None:
    """Refuse a database that is missing, older or newer than this program, with what to do about it."""
    path = engine.url.database or ""
    if engine.dialect.name == "sqlite" and not Path(path).is_file():
        raise _unavailable(
            f"there is no store at {path} yet. The worker makes it when it starts: `research dev` or `research worker`"
        )
    with reporting(engine, "read"), reading(engine) as connection:
        revision = _revision(connection, engine)
    if revision != SCHEMA:
        raise _unavailable(
            f"the store {_shown(engine)} has schema {revision or 'none'}, this version needs {SCHEMA}. "
            "The worker brings it up to date when it starts: `research dev` or `research worker`"
        )


def is_made(url: str) -> bool:
    """Whether there is a store: a SQLite file that is not there was never made. Of a server's database: yes.

    Errors: store_unavailable for a URL that names no database of the two kinds.
    """
    parsed = _parsed(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").exists()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one consistent view, and it never waits for a writer in SQLite."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, one at a time: row numbers become visible in their order."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        yield connection


@contextmanager
def reporting(engine: Engine, done: str) -> Iterator[None]:
    """Turn what a database or a disk can throw into a ResearchError: what happened, and what to do.

    Errors: store_unavailable where the database or its file is out of reach or damaged, which may pass; internal_error
    where it works and refuses what it was given, which another attempt would only repeat.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        what = cause[0] if cause else type(error).__name__
        message = f"the store {_shown(engine)} could not be {done}: {what}"
        if _is_outage(error):
            raise _unavailable(f"{message}. {_advice(what, engine)}") from error
        raise ResearchError(ErrorCode.INTERNAL_ERROR, f"{message}. {_DEFECT}") from error


def _is_outage(error: Exception) -> bool:
    # DatabaseError itself, of which the refusals are other kinds, is how SQLite says that its file is damaged.
    damaged = type(error) in (DatabaseError, sqlite3.DatabaseError)
    cut_off = isinstance(error, DBAPIError) and error.connection_invalidated
    return damaged or cut_off or isinstance(error, _OUTAGES)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        # The URL may hold a password: neither it nor the error that quotes it is repeated.
        raise _unavailable(_NO_URL) from None
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise _unavailable(f"RESEARCH_DATABASE_URL names {backend}; the store is SQLite or PostgreSQL")
    if parsed.database in (None, "", ":memory:"):
        raise _unavailable(
            "RESEARCH_DATABASE_URL names a database in memory, which several processes cannot share; "
            "give a file: sqlite:////path/to/research.db"
        )
    return parsed


def _set_up_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver's own implicit BEGIN comes too late to choose its kind; with none, ours in _begin_sqlite holds.
    connection.isolation_level = None
    # Text that is not UTF-8 is one row's damage. Refused by the driver, it would be every row's of the same query.
    connection.text_factory = _text
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(engine: Engine) -> None:
    # The switch needs the file for itself, and SQLite does not wait for that within the busy timeout.
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        finally:
            raw.close()


def _revision(connection: Connection, engine: Engine) -> str | None:
    """The database's schema, None where it has none. Refuses one from the future."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and str(revision) > SCHEMA:
        raise _unavailable(
            f"the store {_shown(engine)} was written by a newer version of this program (schema {revision}, known "
            f"here up to {SCHEMA}). Update the program, or name another store with RESEARCH_DATABASE_URL"
        )
    return None if revision is None else str(revision)


def _upgrade(connection: Connection) -> None:
    # A third of the store's import time, needed once in a store's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _alembic_in_this_process:
        command.upgrade(config, "head")


def _shown(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return engine.url.render_as_string(hide_password=True)


def _advice(cause: str, engine: Engine) -> str:
    lowered = cause.lower()
    if engine.dialect.name == "postgresql":
        return "Check that the server runs and that RESEARCH_DATABASE_URL names it, the user and the database"
    if "malformed" in lowered or "not a database" in lowered:
        return "The file is damaged: stop the workers, put a copy of it back, or move it away and start anew"
    if "locked" in lowered:
        return f"Another process held it for {BUSY_SECONDS} s: find it with `lsof`, or try again"
    if "full" in lowered or "no space" in lowered:
        return "Make room on the disk; nothing was half written"
    return "Check the path, the free space and the permissions of the file and its folder"


def _unavailable(message: str) -> ResearchError:
    return ResearchError(ErrorCode.STORE_UNAVAILABLE, message)
