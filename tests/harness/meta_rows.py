"""Reads metasvc's database while the service runs, and takes locks that block its writes."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import URL, make_url

from tests.harness.waiting import wait_until

SCHEMA = "metasvc"
_HOLD_PROJECT = "SELECT id FROM project WHERE id = %s FOR NO KEY UPDATE"
_WAITING = "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted"
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True)
class MetaRows:
    """The database at a URL: SQLite, opened read-only, or PostgreSQL, with the schema in `search_path`."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        """The kind of the database."""
        return self._address.get_backend_name() == "sqlite"

    def select(self, statement: str) -> list[dict[str, Any]]:
        """Runs a query and returns its rows by column."""
        if self.is_sqlite:
            with closing(sqlite3.connect(f"file:{self._address.database}?mode=ro", uri=True)) as connection:
                connection.row_factory = sqlite3.Row
                return [dict(row) for row in connection.execute(statement)]
        with self._postgresql() as session:
            return session.execute(statement.encode()).fetchall()

    def count(self, table: str, condition: str) -> int:
        """The number of rows of a table that match a condition."""
        [row] = self.select(f"SELECT count(*) AS found FROM {table} WHERE {condition}")  # noqa: S608 - a test's own words
        found: int = row["found"]
        return found

    @contextmanager
    def held_charges(self, project_id: int) -> Iterator[None]:
        """Blocks every write that charges a project. On PostgreSQL, it locks the last row that such a write locks.

        On SQLite, writes block at their beginning, for 5 seconds at most.
        """
        if self.is_sqlite:
            with closing(sqlite3.connect(self._address.database or "", isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("ROLLBACK")
            return
        with self._postgresql() as session, session.transaction():
            session.execute(_HOLD_PROJECT, [project_id])
            yield

    def wait_for_a_held_write(self) -> None:
        """Waits until a write is blocked. SQLite does not show who waits, so this waits for a short time there."""
        if self.is_sqlite:
            time.sleep(0.2)
            return
        wait_until(lambda: self.select(_WAITING), "a write to be held up", wanted=lambda rows: rows != [{"waiting": 0}])

    def end_sessions(self) -> None:
        """Ends all sessions in the database, as an administrator of PostgreSQL may do at any time."""
        self.select(_END_SESSIONS)

    @property
    def _address(self) -> URL:
        return make_url(self.url)

    @contextmanager
    def _postgresql(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        address = self._address.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(
            address, autocommit=True, row_factory=dict_row, options=f"-c search_path={SCHEMA}"
        ) as session:
            yield session
