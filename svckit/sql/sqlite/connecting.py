"""Connections to a SQLite file, and what all of them are told."""

import sqlite3
from pathlib import Path
from typing import TypeVar

AnyConnection = TypeVar("AnyConnection", bound=sqlite3.Connection)

BUSY_SECONDS = 5.0
"""How long a connection waits for a lock of another program, such as a backup."""

_STATEMENTS_KEPT = 256
_WRITER_CACHE_KIB = 8192
_READER_CACHE_KIB = 4096
# The write-ahead log is cut to this size after a checkpoint. Otherwise it would stay large for ever after one large
# import.
_LOG_KEPT_BYTES = 32 * 1024 * 1024


def connect(path: Path, kind: type[AnyConnection], *, query_only: bool, busy_seconds: float) -> AnyConnection:
    """Opens a connection. It blocks. Several threads may use it, but no two at once.

    Args:
        path: the file.
        kind: the class of the connection.
        query_only: whether it refuses to write.
        busy_seconds: how long a statement waits for a lock of another program.

    Raises:
        sqlite3.Error: the file cannot be opened, or is no database.
    """
    connection = sqlite3.connect(
        path,
        factory=kind,
        timeout=busy_seconds,
        # sqlite3 does not begin transactions by itself.
        isolation_level=None,
        cached_statements=_STATEMENTS_KEPT,
        check_same_thread=False,
    )
    cache = _READER_CACHE_KIB if query_only else _WRITER_CACHE_KIB
    pragmas = (
        "journal_mode=WAL",
        # With NORMAL, the last commits can be lost at a power failure. A confirmed write must not be lost.
        "synchronous=FULL",
        "foreign_keys=ON",
        f"cache_size=-{cache}",
        f"journal_size_limit={_LOG_KEPT_BYTES}",
        "temp_store=MEMORY",
        f"query_only={'ON' if query_only else 'OFF'}",
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection
