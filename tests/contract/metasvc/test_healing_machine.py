"""Uploads, links, damage, quarantine, tombstones and deletions in any order, on a real database.

Hypothesis chooses the steps, and what happens in the middle of a step: each call from metasvc to blobsvc is a moment at
which other steps run, or at which the process dies.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from blobsvc.store.memory import MemoryStore
from metasvc.domain.model import BlobKey
from metasvc.domain.quarantine import quarantine_blob
from metasvc.domain.settled import SettledGenerations
from metasvc.domain.tombstone import delete_generations, delete_unlinked
from svckit.errors import DomainError
from svckit.oci.digest import Digest
from svckit.sql.database import Database
from tests.contract.blobsvc.steps import push as upload
from tests.contract.metasvc.disturbed_bytes import (
    Bytes,
    ProcessDied,
    Uploaded,
    damage_bytes,
    damage_of,
    file_key,
    suppress_refusals,
)
from tests.contract.metasvc.world import World
from tests.harness.databases import open_database
from tests.harness.keyring import SUBJECT

CONTENTS = (b"one layer", b"two layer")
SMALL_LIMIT = 10
"""Bytes that the project "small" may hold: one of the contents."""
RECEIPT_IS_VALID = timedelta(hours=1)
GRANT_IS_VALID = timedelta(minutes=5)
TABLES = ("blob_store", "tombstone", "review", "project_blob", "repository_blob", "blob", "repository", "project")

# One digest most of the time: what goes wrong between two pushes of it is what this is about.
CONTENT = st.sampled_from([CONTENTS[0], CONTENTS[0], CONTENTS[0], CONTENTS[1]])
PLACE = st.sampled_from([("alpha/app", 1), ("beta/app", 2), ("small/app", 3)])
# One of the last uploads, so that several steps are about the same one. 0 is the last.
AGE = st.integers(min_value=0, max_value=2)
DAMAGE = st.sampled_from(["gone", "changed", "truncated"])
SPAN = st.sampled_from([40, 400, 3000, 7260])

Place = tuple[str, int]
Step = tuple[str, bytes, int, Place]

STEP = st.tuples(
    st.sampled_from(["push", "present", "lose", "replace", "find", "delete", "unlink", "finish", "wait", "die"]),
    CONTENT,
    AGE,
    PLACE,
)
MEANWHILE = st.lists(STEP, max_size=2)


class Healing(RuleBasedStateMachine):
    """Everything that may happen to stored bytes."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.runner = runner
        self.uploads: list[Uploaded] = []
        self.presented: Counter[BlobKey] = Counter()
        self.damaged: set[BlobKey] = set()
        self.held: set[BlobKey] = set()
        self.last_live: dict[BlobKey, datetime] = {}
        self.world = World(database)
        self.world.directory.projects[3] = ("small", SMALL_LIMIT)
        self.files = MemoryStore()
        self.bytes = Bytes(self.files, self.uploads, self.check_delete)
        self.begin_process()
        self.run(self.clear())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    def begin_process(self) -> None:
        """What metasvc has noted in memory is lost."""
        self.world.ports = replace(self.world.ports, bytes=self.bytes, settled=SettledGenerations(self.bytes))

    async def clear(self) -> None:
        async with self.world.database.write() as conn:
            for table in TABLES:
                await conn.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - the names above
            await conn.commit()

    # What clients do.

    async def finish(self, content: bytes, place: Place) -> Uploaded:
        blob = await upload(self.files.uploads, content)
        key = BlobKey(str(blob.digest), blob.key.generation.number)
        self.uploads.append(Uploaded(key, blob.size_bytes, *place, self.world.now))
        return self.uploads[-1]

    def recent(self, age: int) -> Uploaded:
        return self.uploads[-1 - age % len(self.uploads)]

    async def present(self, uploaded: Uploaded) -> None:
        """Presents a receipt, early, late or again, as long as it is valid."""
        if self.world.now > uploaded.time + RECEIPT_IS_VALID:
            return
        try:
            await self.link(uploaded)
        except DomainError as error:
            if error.reason == "BLOB_UPLOAD_UNKNOWN":
                # Only if the bytes are damaged, or it was decided before that they are not needed.
                assert uploaded.key in self.damaged or self.presented[uploaded.key] > 1
            elif error.reason not in ("QUOTA_EXCEEDED", "INSUFFICIENT_SCOPE"):
                raise

    async def link(self, uploaded: Uploaded) -> None:
        self.presented[uploaded.key] += 1
        await self.world.link(
            uploaded.repository,
            uploaded.key.digest,
            size=uploaded.size,
            generation=uploaded.key.generation,
            project_id=uploaded.project_id,
        )

    async def push(self, content: bytes, place: Place) -> None:
        """A whole push, in the middle of which the receipt may be used up or become old."""
        await self.present(await self.finish(content, place))

    async def unlink(self, content: bytes, place: Place) -> None:
        with suppress_refusals("BLOB_UNKNOWN"):
            await self.world.unlink(place[0], str(Digest.of(content)), project_id=place[1])

    async def mount(self, content: bytes, place: Place, source: Place) -> None:
        self.world.rights.named = {source[0]: source[1]}
        await self.world.mount(place[0], str(Digest.of(content)), source[0], project_id=place[1])

    # What goes wrong.

    async def damage(self, key: BlobKey, how: str) -> None:
        if damage_bytes(self.files, key, how):
            self.damaged.add(key)

    async def damage_live(self, content: bytes, how: str) -> None:
        for key in await self.live(content):
            await self.damage(key, how)

    async def find(self, key: BlobKey) -> None:
        """A finding is passed on, early or late: it may be about any generation."""
        if damage := await damage_of(self.files, key):
            await quarantine_blob(self.world.ports, key, damage, "read")

    async def refuse(self, uploaded: Uploaded) -> None:
        """A receipt is presented while its uploader may not push."""
        self.world.directory.refused = {SUBJECT}
        try:
            await self.present(uploaded)
        finally:
            self.world.directory.refused = set()

    async def replace(self, content: bytes, place: Place) -> None:
        """Another client finds the damage, and pushes first."""
        await self.damage_live(content, "gone")
        await self.push(content, place)

    async def wait(self) -> None:
        self.world.later(seconds=400)

    async def die(self) -> None:
        raise ProcessDied

    # Steps, and those in the middle of others.

    def meanwhile(self, steps: Sequence[Step]) -> list[Callable[[], Awaitable[object]]]:
        def to_do(step: Step) -> Callable[[], Awaitable[object]]:
            what, content, age, place = step
            steps: dict[str, Callable[[], Awaitable[object]]] = {
                "push": lambda: self.push(content, place),
                "present": lambda: self.present(self.recent(age)),
                "lose": lambda: self.damage_live(content, "gone"),
                "replace": lambda: self.replace(content, place),
                "find": lambda: self.find(self.recent(age).key),
                "delete": lambda: delete_generations(self.world.ports),
                "unlink": lambda: self.unlink(content, place),
                "finish": lambda: self.finish(content, place),
                "wait": self.wait,
                "die": self.die,
            }
            return steps[what]

        return [to_do(step) for step in steps]

    def do(self, work: Coroutine[Any, Any, Any], meanwhile: Sequence[Step] = ()) -> None:
        self.bytes.meanwhile = self.meanwhile(meanwhile)
        try:
            self.run(work)
        except ProcessDied:
            self.begin_process()
        finally:
            self.bytes.meanwhile = []

    @initialize(place=PLACE)
    def a_blob_is_there(self, place: Place) -> None:
        self.do(self.push(CONTENTS[0], place))

    @rule(content=CONTENT, place=PLACE)
    def an_upload_is_finished(self, content: bytes, place: Place) -> None:
        self.do(self.finish(content, place))

    @rule(age=AGE, meanwhile=MEANWHILE)
    def a_receipt_is_presented(self, age: int, meanwhile: list[Step]) -> None:
        self.do(self.present(self.recent(age)), meanwhile)

    @rule(age=AGE, meanwhile=MEANWHILE)
    def a_receipt_is_refused(self, age: int, meanwhile: list[Step]) -> None:
        self.do(self.refuse(self.recent(age)), meanwhile)

    @rule(content=CONTENT, place=PLACE, meanwhile=MEANWHILE)
    def a_blob_is_pushed(self, content: bytes, place: Place, meanwhile: list[Step]) -> None:
        self.do(self.push(content, place), meanwhile)

    @rule(content=CONTENT, place=PLACE)
    def a_push_that_nothing_disturbs_ends_in_a_blob_whose_bytes_are_there(self, content: bytes, place: Place) -> None:
        self.run(self.undisturbed_push(content, place))

    async def undisturbed_push(self, content: bytes, place: Place) -> None:
        uploaded = await self.finish(content, place)
        with suppress_refusals("QUOTA_EXCEEDED"):
            await self.link(uploaded)
            served = await self.world.resolve_blob(place[0], uploaded.key.digest, project_id=place[1])
            # Bytes that were changed, and have their size, are found by a read.
            assert await self.files.blobs.sizes([file_key(BlobKey(served.digest, served.generation))]) == [len(content)]

    @rule(content=CONTENT, place=PLACE, source=PLACE, meanwhile=MEANWHILE)
    def a_blob_is_mounted(self, content: bytes, place: Place, source: Place, meanwhile: list[Step]) -> None:
        self.do(self.mount(content, place, source), meanwhile)

    @rule(content=CONTENT, place=PLACE)
    def a_link_is_removed(self, content: bytes, place: Place) -> None:
        self.do(self.unlink(content, place))

    @rule(content=CONTENT, how=DAMAGE)
    def a_live_blob_is_damaged(self, content: bytes, how: str) -> None:
        self.do(self.damage_live(content, how))

    @rule(age=AGE, how=DAMAGE)
    def an_upload_is_damaged(self, age: int, how: str) -> None:
        self.do(self.damage(self.recent(age).key, how))

    @rule(age=AGE)
    def a_finding_arrives(self, age: int) -> None:
        self.do(self.find(self.recent(age).key))

    @rule(meanwhile=MEANWHILE)
    def generations_are_deleted(self, meanwhile: list[Step]) -> None:
        self.do(self.delete_often(), meanwhile)

    async def delete_often(self) -> None:
        """Also forgets what was deleted, as soon as that is allowed."""
        await delete_generations(self.world.ports)
        self.world.later(seconds=1)
        await delete_generations(self.world.ports)

    @rule(meanwhile=MEANWHILE)
    def unlinked_uploads_are_deleted(self, meanwhile: list[Step]) -> None:
        self.do(delete_unlinked(self.world.ports), meanwhile)

    @rule(meanwhile=MEANWHILE)
    def what_was_decided_is_told(self, meanwhile: list[Step]) -> None:
        self.do(self.world.ports.settled.flush(), meanwhile)

    @rule(seconds=SPAN)
    def time_passes(self, seconds: int) -> None:
        self.world.later(seconds=seconds)

    # What must hold.

    async def live(self, content: bytes) -> list[BlobKey]:
        """The live generation of some bytes, if there is one."""
        states, _ = await self.stored()
        return [key for key, state in states.items() if state == "live" and key.digest == str(Digest.of(content))]

    async def stored(self) -> tuple[dict[BlobKey, str], set[BlobKey]]:
        """The state of each generation that has a row, and the generations with a tombstone."""
        rows = await self.world.rows(
            "SELECT digest, generation, state FROM blob UNION ALL SELECT digest, generation, '' FROM tombstone"
        )
        states = {BlobKey(digest, generation): state for digest, generation, state in rows if state}
        return states, {BlobKey(digest, generation) for digest, generation, state in rows if not state}

    async def check_delete(self, key: BlobKey) -> None:
        """Nothing is deleted without a tombstone, or while it is live, or while a grant for it may be valid."""
        states, tombstones = await self.stored()
        assert key in tombstones
        assert states.get(key) != "live"
        if key in self.last_live:
            assert self.world.now > self.last_live[key] + GRANT_IS_VALID

    @invariant()
    def each_digest_keeps_its_generation_and_its_bytes_unless_they_are_damaged(self) -> None:
        self.run(self.check())

    async def check(self) -> None:
        states, tombstones = await self.stored()
        for key, state in states.items():
            if state == "live":
                self.last_live[key] = self.world.now
                assert key not in tombstones
                assert key in self.damaged or await damage_of(self.files, key) is None
            else:
                assert key in self.damaged
        assert self.held - states.keys() <= self.damaged
        self.held = set(states)

    def teardown(self) -> None:
        self.run(self.heal_and_clear())

    async def heal_and_clear(self) -> None:
        """Whatever has happened: a read finds each damage, a push heals, and only what is needed stays stored."""
        for content in CONTENTS:
            digest = str(Digest.of(content))
            for key in await self.live(content):
                await self.find(key)
            await self.link(await self.finish(content, ("alpha/app", 1)))
            served = await self.world.resolve_blob("alpha/app", digest)
            assert await damage_of(self.files, BlobKey(served.digest, served.generation)) is None
        self.world.later(hours=5)
        await delete_unlinked(self.world.ports)
        await delete_generations(self.world.ports)
        await self.world.ports.settled.flush()
        kept = {(str(key.digest), key.generation.number) for key in self.files.stored}
        assert kept == {tuple(row) for row in await self.world.rows("SELECT digest, generation FROM blob")}
        assert (await self.files.admin.list_unlinked(limit=10)).blobs == ()


def run_machine(url: str, examples: int, *, fixed: bool) -> None:
    """Runs this many examples: always the same ones, without a search for a smaller failing one, or new ones."""
    with asyncio.Runner() as runner:
        database = runner.run(open_database(url))

        class Machine(Healing):
            def __init__(self) -> None:
                super().__init__(runner, database)

        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    derandomize=fixed,
                    phases=[Phase.generate] if fixed else [Phase.generate, Phase.shrink],
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())


def test_bytes_heal_and_nothing_is_lost_or_left_whatever_happens(migrated_database_url: str) -> None:
    """It was shown to fail, on both databases, for each of these faults, put into `metasvc.domain` one at a time.

    - A generation with a tombstone is adopted.
    - Damaged bytes are taken for healthy; only missing ones are.
    - A live generation gets a tombstone, by a repeated link, or by a refusal or the sweep of unlinked uploads.
    - Bytes are deleted before their tombstone has committed.
    - A surplus generation is adopted, or kept for ever.
    - A quarantine ignores the generation of its finding.
    - What blobsvc said of an older generation is believed of the live one.
    - A quarantined generation becomes live by its own receipt.
    - Tombstones are forgotten at once.
    - Bytes are deleted while a grant for them may be valid.
    """
    run_machine(migrated_database_url, 60, fixed=True)


@pytest.mark.soak
def test_bytes_heal_and_nothing_is_lost_or_left_in_many_more_orders(migrated_database_url: str) -> None:
    run_machine(migrated_database_url, 3000, fixed=False)
