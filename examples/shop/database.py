"""SQLite for the parts of this example that are not flowgen: the gateway, the warehouse, the ledger.

Each has a file of its own in the directory that `SHOP_DIR` names (default: the current one), as if they
belonged to different services. A write is one transaction, so a kill leaves all of it or nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def directory() -> Path:
    """Where the files of the shop are."""
    return Path(os.environ.get("SHOP_DIR", "."))


@contextmanager
def transaction(name: str, tables: str) -> Iterator[sqlite3.Connection]:
    """A write transaction in the file `name`.db, where `tables` are made if they are not there."""
    with closing(sqlite3.connect(directory() / f"{name}.db", timeout=30, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = off")  # outlives a killed process, not a power cut: enough here
        connection.execute("begin immediate")
        for table in tables.split(";"):
            connection.execute(table)
        yield connection
        connection.execute("commit")
