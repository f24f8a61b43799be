"""A ChangeService on a database that has a change log and nothing else, with writers and readers."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from metasvc.domain.model import ChangeKind
from metasvc.servicers.change import ChangeServicer, changes_in_repository
from metasvc.store.tables import CHANGES, change_cursors
from roadstead.change.v1.change_pb2 import LogPosition as Position
from roadstead.meta.v1 import change_service_pb2 as pb
from roadstead.meta.v1.change_service_pb2_grpc import ChangeServiceStub, add_ChangeServiceServicer_to_server
from svckit.access.actor import Actor, ChangeOrigin
from svckit.change import Change
from svckit.changes.feed import ChangeFeed
from svckit.changes.serving import ChangeServing
from svckit.changes.settings import ChangeLogSettings
from svckit.errors import DomainError
from svckit.metrics import Metrics
from svckit.rpc import RpcServer, RpcServerSettings, open_channel
from svckit.sql.change_log import new_epoch
from svckit.sql.changes import serve_changes
from svckit.sql.database import Database
from tests.harness.keyring import Keyring
from tests.harness.stand_ins.access import Permissions

PATIENCE_SECONDS = 60.0
ADMINISTRATOR, MEMBER, STRANGER = 1, 7, 8
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ORIGIN = ChangeOrigin(Actor("user", MEMBER, "ann"), "request-1", "192.0.2.1", "token-1")
"""The actor of all changes."""
CHANGE = Change(
    kind=ChangeKind.TAG_PUT,
    origin=ORIGIN,
    time=NOW,
    project_id=1,
    resource_id=5,
    resource_name="alpha/app",
    reference="v1",
    digest="sha256:ab",
)


async def make_tables(database: Database) -> None:
    """Makes the tables of a log, which is empty."""
    tables = [CHANGES.changes, CHANGES.state, change_cursors.table]
    async with database.change_schema() as conn:
        await conn.run_sync(lambda sync: CHANGES.changes.metadata.create_all(sync, tables=tables))
        await conn.execute(CHANGES.state.insert().values(id=1, epoch=new_epoch(), compacted_to=0))
        await conn.commit()


@dataclass
class Clock:
    """A clock that stands still."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class ChangeWorld:
    """A log, and the server that serves it.

    Attributes:
        database: has the log.
        changes: what the servicer calls.
        permissions: what identity tokens may do.
        keyring: signs for callers.
        metrics: of the server.
        clock: of the server.
        server: serves ChangeService.
        stub: raises DomainError, and calls without a token unless one is given.
    """

    database: Database
    changes: ChangeServing[ChangeKind]
    permissions: Permissions
    keyring: Keyring
    metrics: Metrics
    clock: Clock
    server: RpcServer
    stub: Any
    address: str

    @property
    def feed(self) -> ChangeFeed[ChangeKind]:
        return self.changes.feed

    cursors = change_cursors

    async def write(self, *changes: Change[ChangeKind]) -> int:
        """Commits changes, as a unit of work of this process does."""
        async with self.database.write() as conn:
            revision = await CHANGES.append(conn, changes)
            await conn.commit()
        self.feed.notify()
        return revision

    async def compact(self, revision: int) -> None:
        async with self.database.write() as conn:
            await CHANGES.compact(conn, revision)
            await conn.commit()

    async def renew_epoch(self) -> str:
        async with self.database.write() as conn:
            epoch = await CHANGES.renew_epoch(conn)
            await conn.commit()
        if self.database.dialect == "sqlite":
            # No other process can have the file, so nobody looks for what others do to it.
            self.feed.notify()
        return epoch

    async def position(self, revision: int | None = None) -> Position:
        """The newest position of the log, or that of a revision."""
        async with self.database.read() as conn:
            found = await CHANGES.position(conn)
        return Position(epoch=found.epoch, revision=found.revision if revision is None else revision)

    def as_service(self, service: str = "jobsvc") -> tuple[tuple[str, str], ...]:
        """The metadata of a service that acts for itself."""
        return (("x-roadstead-acting", self.keyring.acting_token(service, "metasvc")),)

    def as_user(self, user_id: int, *, is_admin: bool = False) -> tuple[tuple[str, str], ...]:
        """The metadata of a user."""
        return (("authorization", f"Bearer {self.keyring.identity_token(user_id, is_admin=is_admin)}"),)

    def watch(self, position: Position | None = None, *, metadata: Any = None, **fields: Any) -> Any:
        """Opens a stream; by default, jobsvc does."""
        request = pb.WatchRequest(position=position, **fields)
        return self.stub.Watch(request, metadata=metadata or self.as_service())

    @staticmethod
    def list_request(**fields: Any) -> pb.ListChangesRequest:
        """A request of ListChanges."""
        return pb.ListChangesRequest(**fields)


@asynccontextmanager
async def serving(database: Database, rules: ChangeLogSettings | None = None, **rpc: Any) -> AsyncIterator[ChangeWorld]:
    """Serves the log of a database."""
    clock = Clock()
    changes = serve_changes(
        database,
        CHANGES,
        change_cursors,
        rules or ChangeLogSettings(),
        clock,
        in_repository=changes_in_repository,
    )
    # A short path, because a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="log") as folder:
        keyring = Keyring(Path(folder) / "trust")
        permissions = Permissions()
        permissions.allowed |= {
            (ADMINISTRATOR, "", "log", "list"),
            (ADMINISTRATOR, "", "audit-log", "list"),
            (ADMINISTRATOR, "", "purge-audit", "update"),
            (ADMINISTRATOR, "alpha", "log", "list"),
            (MEMBER, "alpha", "log", "list"),
        }
        metrics = Metrics("metasvc")
        address = f"unix:{folder}/s"
        server = RpcServer(
            "metasvc",
            RpcServerSettings.model_validate({"listen": (address,), "drain_seconds": 0} | rpc),
            verifier=keyring.verifier(),
            checker=permissions,
            metrics=metrics,
        )
        server.add(add_ChangeServiceServicer_to_server, ChangeServicer(changes))
        await server.start()
        feed = asyncio.create_task(changes.feed.run())
        try:
            async with open_channel(address) as channel:
                stub = ChangeServiceStub(channel)
                yield ChangeWorld(database, changes, permissions, keyring, metrics, clock, server, stub, address)
        finally:
            await server.drain(0)
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)


async def read_revisions(call: Any, count: int) -> list[int]:
    """The revisions of the next changes of a stream."""
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found) < count:
            answer = await call.read()
            assert answer is not grpc.aio.EOF, found
            found += [change.revision for change in answer.changes]
    return found


async def refusal(call: Any) -> DomainError:
    """The error with which a stream ends."""
    with pytest.raises(DomainError) as refused:
        await _read_to_the_end(call)
    return refused.value


async def _read_to_the_end(call: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await call.read() is not grpc.aio.EOF:
            pass


async def next_answer(call: Any) -> pb.WatchResponse:
    """The next answer of a stream."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await call.read()
    assert answer is not grpc.aio.EOF
    assert isinstance(answer, pb.WatchResponse)
    return answer


def numbered(count: int, **fields: Any) -> list[Change[ChangeKind]]:
    """So many changes, each with a tag of its own."""
    return [replace(CHANGE, reference=f"v{number}", **fields) for number in range(count)]


def gauges(registry: CollectorRegistry, name: str) -> Mapping[str, float]:
    """The values of a gauge with the label `cursor`."""
    return {
        sample.labels["cursor"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def revisions(answers: Sequence[pb.WatchResponse]) -> list[int]:
    """The revisions of the changes of some answers."""
    return [change.revision for answer in answers for change in answer.changes]
