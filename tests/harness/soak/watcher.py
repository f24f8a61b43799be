"""Checks metasvc's tables during the run, because some rules must hold at any time, not only at the end."""

import sqlite3
import threading
from dataclasses import dataclass, field

import psycopg

from tests.harness.meta_rows import MetaRows

_LOOK_EVERY_SECONDS = 0.1


@dataclass
class Watcher:
    """Follows the change log as a reader of it would, and the usages.

    Attributes:
        rows: what it looks at.
        newest: the last revision that it has seen.
        looks: how often it has looked.
        findings: what must not be.
    """

    rows: MetaRows
    newest: int = 0
    looks: int = 0
    findings: list[str] = field(default_factory=list)

    def watch(self, until: threading.Event) -> None:
        """Looks until the event is set."""
        while not until.wait(_LOOK_EVERY_SECONDS):
            try:
                self.look()
            except (sqlite3.OperationalError, psycopg.OperationalError):
                # The database cannot always be read just after its service was killed.
                continue

    def look(self) -> None:
        """Looks once."""
        statement = f"SELECT revision FROM change WHERE revision > {self.newest} ORDER BY revision"  # noqa: S608 - a number
        for row in self.rows.select(statement):
            if row["revision"] != self.newest + 1:
                self.findings.append(f"revision {row['revision']} was seen right after {self.newest}")
            self.newest = row["revision"]
        over = "SELECT name, used_bytes, quota_bytes FROM project WHERE quota_bytes >= 0 AND used_bytes > quota_bytes"
        self.findings += [f"over its quota: {row}" for row in self.rows.select(over)]
        self.looks += 1
