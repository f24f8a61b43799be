"""Pulls are gathered in memory and written now and then."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from metasvc.domain.model import StoredManifest
from metasvc.domain.ports import Store
from metasvc.domain.pull import MAX_REMEMBERED, PullRecorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class DeadStore:
    """A store whose database does not answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def repeat(self, _work: Any) -> None:
        self.asked.set()
        raise ConnectionError("no database")


def pulled(artifact_id: int) -> StoredManifest:
    return StoredManifest(artifact_id, 1, "sha256:", "", 0, None)


async def test_a_store_that_is_down_costs_its_pulls_and_nothing_else() -> None:
    store = DeadStore()
    recorder = PullRecorder(cast("Store", store), lambda: NOW)
    failures: list[Exception] = []
    recorder.note(pulled(1), "v1")

    running = asyncio.create_task(recorder.run(0.001, failures.append))
    await store.asked.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [str(failure) for failure in failures] == ["no database"]
    assert running.cancelled()


async def test_what_is_remembered_has_a_limit() -> None:
    recorder = PullRecorder(cast("Store", DeadStore()), lambda: NOW)

    for number in range(MAX_REMEMBERED + 10):
        recorder.note(pulled(number), None)

    assert recorder._remembered == MAX_REMEMBERED
