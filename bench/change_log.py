"""`python -m bench.change_log`: what a change log with revisions in the order of commits costs small commits.

A unit of work writes one row and one change, and commits. It is measured with the log as it is; with a log that takes
no lock and counts by a sequence, whose readers lose changes (PostgreSQL only: SQLite has one writer); and without a
log.
All run in turn, on a database on the disk, with syncs. CPU time is that of this process, and of all of PostgreSQL.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.machine.processes import cpu_seconds, tree
from svckit.access.actor import Actor, ChangeOrigin
from svckit.change import Change
from svckit.sql.change_log import ChangeLog, new_epoch
from svckit.sql.database import Database, run_short
from svckit.sql.names import NAMING_CONVENTION
from svckit.sql.opening import open_database
from svckit.sql.types import BigIntKey
from tests.harness.ports import free_port
from tests.harness.postgres_server import SUPERUSER, Account, PostgresProcess, binaries, initialise

WRITERS = (1, 2, 4, 8, 16)
# PostgreSQL runs as another user if this program is root, and must reach it.
_FOLDER = "/var/tmp"  # noqa: S108 - a folder of its own is made in it


class Kind(StrEnum):
    """The only kind of change here."""

    ENTRY_ADDED = "entry_added"


class UnlockedLog(ChangeLog[Kind]):
    """A log whose revisions come from a sequence. Readers of it can miss changes that are committed late."""

    async def append(self, conn: AsyncConnection, changes: Sequence[Change[Kind]], unchanged: object = None) -> int:
        """Writes changes without the lock."""
        last = int(await conn.scalar(text("SELECT nextval('unlocked')")) or 0)
        await run_short(conn, insert(self.changes), [self._to_row(last, change) for change in changes])
        return last


metadata = MetaData(naming_convention=NAMING_CONVENTION)
entry = Table(
    "entry",
    metadata,
    Column("id", BigIntKey, primary_key=True),
    Column("name", Text, nullable=False),
    sqlite_autoincrement=True,
)
log = ChangeLog(metadata, Kind)
_ADD = insert(entry)
_CHANGE = Change(
    kind=Kind.ENTRY_ADDED,
    origin=ChangeOrigin(Actor("user", 7, "ann"), "a-request-id-of-some-length", "192.0.2.1", "a-token-id"),
    time=datetime(2026, 1, 1, tzinfo=UTC),
    project_id=1,
    resource_id=1,
    resource_name="library/app",
    reference="v1",
    digest=f"sha256:{'a' * 64}",
)

Append = Callable[[AsyncConnection], Awaitable[object]]


@dataclass(frozen=True)
class Sample:
    """What was measured once: units for each second, and milliseconds of CPU time for each unit."""

    rate: float
    cpu_milliseconds: float
    database_milliseconds: float


async def _nothing(_: AsyncConnection) -> None:
    pass


async def _sample(database: Database, append: Append, writers: int, seconds: float, server: int | None) -> Sample:
    ends_at = time.monotonic() + seconds
    units = 0

    async def write() -> None:
        nonlocal units
        while time.monotonic() < ends_at:
            async with database.write(short=True) as conn:
                await run_short(conn, _ADD, {"name": "a name"})
                await append(conn)
                await conn.commit()
            units += 1

    def used() -> float:
        return 0.0 if server is None else sum(cpu_seconds(dict.fromkeys(tree(server), "")).values())

    began, own, other = time.monotonic(), time.process_time(), used()
    await asyncio.gather(*(write() for _ in range(writers)))
    took = time.monotonic() - began
    return Sample(units / took, 1000 * (time.process_time() - own) / units, 1000 * (used() - other) / units)


async def _measure(url: str, server: int | None, options: argparse.Namespace) -> None:
    database = await open_database(url, schema="bench", pool_size=20)
    unlocked = UnlockedLog(MetaData(naming_convention=NAMING_CONVENTION), Kind)
    async with database.change_schema() as conn:
        await conn.run_sync(metadata.create_all)
        await conn.execute(log.state.insert().values(id=1, epoch=new_epoch(), compacted_to=0))
        if database.dialect == "postgresql":
            await conn.execute(text("CREATE SEQUENCE unlocked"))
            await conn.execute(text("CREATE TABLE unlocked_change (LIKE change INCLUDING ALL)"))
        await conn.commit()
    unlocked.changes.name = "unlocked_change"
    kinds: dict[str, Append] = {"with the log": lambda conn: log.append(conn, [_CHANGE])}
    if database.dialect == "postgresql":
        kinds["without its lock"] = lambda conn: unlocked.append(conn, [_CHANGE])
    kinds["without a log"] = _nothing

    print(f"\n{database.dialect}\n\n| Writers | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    for writers in options.writers:
        samples: dict[str, list[Sample]] = {name: [] for name in kinds}
        for round_number in range(options.rounds):
            order = list(kinds) if round_number % 2 == 0 else list(kinds)[::-1]
            for name in order:
                samples[name].append(await _sample(database, kinds[name], writers, options.seconds, server))
        print(f"| {writers} | " + " | ".join(_shown(samples[name]) for name in kinds) + " |", flush=True)
    await database.close()


def _shown(samples: Sequence[Sample]) -> str:
    rate = statistics.median(sample.rate for sample in samples)
    own = statistics.median(sample.cpu_milliseconds for sample in samples)
    other = statistics.median(sample.database_milliseconds for sample in samples)
    return f"{rate:.0f}/s; {own:.2f} ms" + (f" + {other:.2f} ms" if other else "")


@contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, int]]:
    """A server on the disk with its usual settings: its URL and process id."""
    account = Account.find()
    programs = binaries(account)
    os.chown(folder, account.uid, account.gid)
    initialise(account, programs, folder / "data")
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = PostgresProcess(account.command(programs / "postgres", "-D", folder / "data", *given))
    process.wait_ready()
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        yield f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres", pid
    finally:
        process.stop()


def main() -> None:
    """Measures on both databases, and prints a table for each."""
    parser = argparse.ArgumentParser(prog="python -m bench.change_log", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each sample (default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=3, help="samples of each kind (default: %(default)s)")
    parser.add_argument("--writers", type=int, nargs="+", default=WRITERS, help="tasks that write at the same time")
    parser.add_argument("--folder", default=_FOLDER, help="where the databases lie: a disk (default: %(default)s)")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}; {len(os.sched_getaffinity(0))} processors")
    root = Path(tempfile.mkdtemp(prefix="change-log-", dir=options.folder)).absolute()
    try:
        asyncio.run(_measure(f"sqlite:///{root}/bench.db", None, options))
        (root / "pg").mkdir(mode=0o700)
        root.chmod(0o755)
        with _postgres(root / "pg") as (url, pid):
            asyncio.run(_measure(url, pid, options))
        print(f"\nload average {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
