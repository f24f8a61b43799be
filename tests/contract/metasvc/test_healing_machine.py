"""Uploads, links, damage, quarantine, tombstones and deletions in any order, on real stores.

Hypothesis chooses the steps, and what happens in the middle of a step: each call from metasvc to blobsvc is a moment at
which other steps run, or at which the process dies. The rows are in a real database, and the files in a real folder.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from prometheus_client import CollectorRegistry

from blobsvc.domain.damage import DamagedBlobError
from blobsvc.store.filesystem import FileStore
from metasvc.domain.model import BlobKey
from metasvc.domain.quarantine import quarantine_blob
from metasvc.domain.settled import SettledGenerations
from metasvc.domain.tombstone import delete_generations, delete_unlinked
from svckit.errors import DomainError
from svckit.oci.digest import Digest
from svckit.sql.database import Database
from svckit.tokens import Damage
from tests.contract.blobsvc.steps import push as upload
from tests.contract.blobsvc.steps import read
from tests.contract.metasvc.disturbed_bytes import Bytes, ProcessDied, Uploaded, file_key, suppress_refusals
from tests.contract.metasvc.world import World
from tests.harness.databases import open_database

CONTENTS = (b"one layer", b"another layer")
REPOSITORIES = (("alpha/app", 1), ("alpha/other", 1), ("small/app", 3))
SMALL_LIMIT = 10
"""Bytes that the project "small" may hold: one of the contents."""
RECEIPT_IS_VALID = timedelta(hours=1)
TABLES = ("blob_store", "tombstone", "review", "project_blob", "repository_blob", "blob", "repository", "project")
STEPS = st.integers(min_value=0, max_value=2**16)


class Healing(RuleBasedStateMachine):
    """Everything that may happen to stored bytes."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="healing-"))
        self.uploads: list[Uploaded] = []
        self.damaged: set[BlobKey] = set()
        self.run(self._open(url))

    async def _open(self, url: str) -> None:
        self.database: Database = await open_database(url)
        self.world = World(self.database)
        for table in TABLES:
            await self.world.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above
        self.files = await FileStore.open(self.folder / "store", CollectorRegistry())
        self.world.directory.projects[3] = ("small", SMALL_LIMIT)
        self.world.now = datetime.now(UTC)
        self.bytes = Bytes(self.files, self.uploads)
        self.ports = replace(self.world.ports, bytes=self.bytes, settled=SettledGenerations(self.bytes))
        self.world.ports = self.ports

    def run(self, work: Awaitable[Any]) -> Any:
        async def whole() -> Any:
            return await work

        return self.runner.run(whole())

    # What clients do.

    @initialize()
    def begin(self) -> None:
        self.run(self.finish(0))

    def recent(self, number: int) -> Uploaded:
        """One of the last uploads, so that several steps are about the same one."""
        return self.uploads[-1 - number % min(len(self.uploads), 3)]

    async def finish(self, number: int) -> None:
        # Most uploads have the same digest.
        content = CONTENTS[0] if number % 4 else CONTENTS[1]
        blob = await upload(self.files.uploads, content)
        repository, project_id = REPOSITORIES[number // 4 % len(REPOSITORIES)]
        self.uploads.append(Uploaded(blob.key, blob.size_bytes, repository, project_id, self.world.now))

    async def link(self, number: int) -> None:
        """Presents the receipt of any upload, early, late or again, as long as it is valid."""
        uploaded = self.recent(number)
        if self.world.now <= uploaded.time + RECEIPT_IS_VALID:
            with suppress_refusals("QUOTA_EXCEEDED", "BLOB_UPLOAD_UNKNOWN"):
                await self.link_upload(uploaded)

    async def link_upload(self, uploaded: Uploaded) -> None:
        await self.world.link(
            uploaded.repository,
            str(uploaded.key.digest),
            size=uploaded.size,
            generation=uploaded.key.generation.number,
            project_id=uploaded.project_id,
        )

    async def push(self, number: int) -> None:
        """A whole push, in the middle of which the receipt may be used up or become old."""
        await self.finish(number)
        with suppress_refusals("QUOTA_EXCEEDED", "BLOB_UPLOAD_UNKNOWN"):
            await self.link_upload(self.uploads[-1])

    async def unlink(self, number: int) -> None:
        repository, project_id = REPOSITORIES[number % len(REPOSITORIES)]
        uploaded = self.recent(number)
        with suppress_refusals("BLOB_UNKNOWN"):
            await self.world.unlink(repository, str(uploaded.key.digest), project_id=project_id)

    async def read(self, number: int) -> None:
        """A pull of the whole blob, whose finding is passed on."""
        repository, project_id = REPOSITORIES[number % len(REPOSITORIES)]
        digest = str(self.recent(number).key.digest)
        try:
            served = await self.world.resolve_blob(repository, digest, project_id=project_id)
        except DomainError:
            return
        key = BlobKey(served.digest, served.generation)
        if damage := await self.damage_of(key):
            await quarantine_blob(self.ports, key, damage, "read")

    async def damage_of(self, key: BlobKey) -> Damage | None:
        try:
            await read(self.files.blobs, file_key(key))
        except DamagedBlobError as error:
            return error.damage
        except DomainError:
            return "missing"
        return None

    # What goes wrong, and what runs by itself.

    async def damage(self, number: int) -> None:
        """A file is lost, changed, cut short or made longer."""
        uploaded = self.recent(number)
        digest = uploaded.key.digest
        path = (self.folder / "store" / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex) / str(
            uploaded.key.generation
        )
        if not path.exists():
            return
        content = path.read_bytes()
        match number // 11 % 4:
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(content[:-1] + b"?")
            case 2:
                path.write_bytes(content[:-1])
            case _:
                path.write_bytes(content + b"?")
        self.damaged.add(uploaded.named)

    async def damage_live(self, number: int) -> None:
        for digest, generation in await self.world.rows("SELECT digest, generation FROM blob WHERE state = 'live'"):
            key = BlobKey(digest, generation)
            await self.files.admin.delete(file_key(key))
            self.damaged.add(key)
            if number % 2:
                await quarantine_blob(self.ports, key, "missing", "read")

    async def quarantine(self, number: int) -> None:
        """A finding arrives late: it may be about any generation."""
        named = self.recent(number).named
        if damage := await self.damage_of(named):
            await quarantine_blob(self.ports, named, damage, "read")

    async def delete(self, number: int) -> None:
        await delete_generations(self.ports)

    async def sweep(self, number: int) -> None:
        await delete_unlinked(self.ports)

    async def settle(self, number: int) -> None:
        await self.ports.settled.flush()

    async def wait(self, number: int) -> None:
        self.world.later(seconds=(1, 40, 400, 3600)[number % 4])

    async def die(self, number: int) -> None:
        raise ProcessDied

    def others(self, numbers: Sequence[int]) -> list[Callable[[], Awaitable[None]]]:
        """Steps that happen in the middle of another one."""
        steps = (
            self.finish,
            self.link,
            self.push,
            self.unlink,
            self.read,
            self.damage,
            self.quarantine,
            self.delete,
            self.settle,
            self.wait,
            self.die,
        )

        def step(number: int) -> Callable[[], Awaitable[None]]:
            async def run() -> None:
                await steps[number % len(steps)](number // len(steps))

            return run

        return [step(number) for number in numbers]

    def do(self, work: Callable[[int], Awaitable[None]], number: int, meanwhile: Sequence[int]) -> None:
        self.bytes.meanwhile = self.others(meanwhile)
        try:
            self.run(work(number))
        except ProcessDied:
            # What was noted in memory is lost.
            self.ports = replace(self.ports, settled=SettledGenerations(self.bytes))
            self.world.ports = self.ports
        finally:
            self.bytes.meanwhile = []

    MEANWHILE = st.lists(STEPS, max_size=3)

    @rule(number=STEPS)
    def a_push_that_nothing_disturbs_ends_in_a_blob_whose_file_is_there(self, number: int) -> None:
        self.run(self.undisturbed_push(number))

    async def undisturbed_push(self, number: int) -> None:
        await self.finish(number)
        uploaded = self.uploads[-1]
        try:
            await self.link_upload(uploaded)
        except DomainError as error:
            if error.reason != "QUOTA_EXCEEDED":
                raise
            return
        served = await self.world.resolve_blob(
            uploaded.repository, str(uploaded.key.digest), project_id=uploaded.project_id
        )
        assert await self.files.blobs.sizes([file_key(BlobKey(served.digest, served.generation))]) == [uploaded.size]

    @rule(number=STEPS)
    def an_upload_is_finished(self, number: int) -> None:
        self.do(self.finish, number, ())

    @rule(number=STEPS, meanwhile=MEANWHILE)
    def a_receipt_is_presented(self, number: int, meanwhile: list[int]) -> None:
        self.do(self.link, number, meanwhile)

    @rule(number=STEPS, meanwhile=MEANWHILE)
    def a_blob_is_pushed(self, number: int, meanwhile: list[int]) -> None:
        self.do(self.push, number, meanwhile)

    @rule(number=STEPS)
    def a_link_is_removed(self, number: int) -> None:
        self.do(self.unlink, number, ())

    @rule(number=STEPS)
    def a_blob_is_read(self, number: int) -> None:
        self.do(self.read, number, ())

    @rule(number=STEPS)
    def a_file_is_damaged(self, number: int) -> None:
        self.do(self.damage, number, ())

    @rule(number=STEPS)
    def the_live_file_is_damaged_and_found(self, number: int) -> None:
        self.do(self.damage_live, number, ())

    @rule(meanwhile=MEANWHILE)
    def nobody_links_for_two_hours(self, meanwhile: list[int]) -> None:
        self.world.later(hours=2, minutes=1)
        self.do(self.sweep, 0, meanwhile)

    @rule(number=STEPS)
    def a_finding_arrives(self, number: int) -> None:
        self.do(self.quarantine, number, ())

    @rule(meanwhile=MEANWHILE)
    def generations_are_deleted(self, meanwhile: list[int]) -> None:
        self.do(self.delete, 0, meanwhile)

    @rule(meanwhile=MEANWHILE)
    def unlinked_uploads_are_deleted(self, meanwhile: list[int]) -> None:
        self.do(self.sweep, 0, meanwhile)

    @rule(meanwhile=MEANWHILE)
    def what_was_decided_is_told(self, meanwhile: list[int]) -> None:
        self.do(self.settle, 0, meanwhile)

    @rule(number=STEPS)
    def time_passes(self, number: int) -> None:
        self.do(self.wait, number, ())

    # What must hold.

    @invariant()
    def no_live_generation_has_a_tombstone(self) -> None:
        assert (
            self.run(
                self.world.rows(
                    "SELECT blob.digest FROM blob JOIN tombstone ON blob.digest = tombstone.digest"
                    " AND blob.generation = tombstone.generation WHERE state = 'live'"
                )
            )
            == []
        )

    @invariant()
    def the_bytes_of_live_generations_are_there_unless_somebody_damaged_them(self) -> None:
        for digest, generation in self.run(self.world.rows("SELECT digest, generation FROM blob WHERE state = 'live'")):
            key = BlobKey(digest, generation)
            if key not in self.damaged:
                assert self.run(self.damage_of(key)) is None

    def teardown(self) -> None:
        try:
            self.run(self._heal_and_clear())
        finally:
            self.run(self.database.close())
            self.files.close()
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _heal_and_clear(self) -> None:
        """Whatever has happened: a read finds each damage, a push heals, and only what is needed stays on disk."""
        for number, content in ((1, CONTENTS[0]), (0, CONTENTS[1])):
            digest = str(Digest.of(content))
            for row in await self.world.rows("SELECT generation FROM blob WHERE digest = :digest", digest=digest):
                key = BlobKey(digest, row[0])
                if damage := await self.damage_of(key):
                    await quarantine_blob(self.ports, key, damage, "read")
            await self.finish(number)
            await self.link_upload(self.uploads[-1])
            served = await self.world.resolve_blob("alpha/app", digest)
            assert await self.damage_of(BlobKey(served.digest, served.generation)) is None
        self.world.later(hours=5)
        await delete_unlinked(self.ports)
        await delete_generations(self.ports)
        await self.ports.settled.flush()
        kept = {(str(blob.key.digest), blob.key.generation.number) for blob in (await self.files.admin.list()).blobs}
        assert kept == {tuple(row) for row in await self.world.rows("SELECT digest, generation FROM blob")}
        assert (await self.files.admin.list_unlinked(limit=10)).blobs == ()


def run_machine(url: str, examples: int) -> None:
    class Machine(Healing):
        def __init__(self) -> None:
            super().__init__(url)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_bytes_heal_and_nothing_is_lost_or_left_whatever_happens(
    migrated_database_url: str, database_kind: str
) -> None:
    run_machine(migrated_database_url, 12 if database_kind == "sqlite" else 6)


@pytest.mark.soak
def test_bytes_heal_and_nothing_is_lost_or_left_in_many_more_orders(migrated_database_url: str) -> None:
    run_machine(migrated_database_url, 300)
