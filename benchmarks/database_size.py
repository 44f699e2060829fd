"""How large a database is. Of the standard library alone: one of the peers has an environment of its own."""

import sqlite3
from contextlib import closing
from pathlib import Path


def sqlite_bytes(database: Path) -> int:
    """Bytes of the pages in use of an SQLite file, those in its write-ahead log included."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        size, pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
    return int(size * (pages - free))
