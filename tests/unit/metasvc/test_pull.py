"""Pulls are collected in memory and written every few seconds."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from metasvc.domain.model import StoredManifest
from metasvc.domain.pull import MAX_REMEMBERED, PullRecorder
from metasvc.domain.unit import Store
from svckit.configuration.values import Configuration

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class DeadStore:
    """A store whose database does not answer."""

    async def repeat(self, _work: Any) -> None:
        raise ConnectionError("no database")


def pulled(artifact_id: int) -> StoredManifest:
    return StoredManifest(artifact_id, 1, "sha256:", "", 0, None)


async def test_what_a_store_that_is_down_did_not_take_is_forgotten() -> None:
    recorder = PullRecorder(cast("Store", DeadStore()), lambda: NOW)
    recorder.note(pulled(1), "v1")

    with pytest.raises(ConnectionError):
        await recorder.flush()

    await recorder.flush()  # nothing is left that would be written
    assert recorder._remembered == 0


class CountingStore:
    """A store that says what was written to it."""

    def __init__(self) -> None:
        self.written: list[str] = []

    async def repeat(self, work: Any) -> None:
        self.written.append(work.__name__)


@pytest.mark.parametrize(
    ("configuration", "written"),
    [
        (Configuration(), ["count", "date_artifacts", "date_tags"]),
        (Configuration(pull_count_update_disable=True), ["date_artifacts", "date_tags"]),
        (Configuration(pull_time_update_disable=True), ["count"]),
        (Configuration(pull_count_update_disable=True, pull_time_update_disable=True), []),
    ],
)
async def test_an_administrator_switches_counts_and_times_off(configuration: Configuration, written: list[str]) -> None:
    store = CountingStore()
    recorder = PullRecorder(cast("Store", store), lambda: NOW, lambda: configuration)
    recorder.note(pulled(1), "v1")
    await recorder.flush()
    assert store.written == written


async def test_what_is_remembered_has_a_limit() -> None:
    recorder = PullRecorder(cast("Store", DeadStore()), lambda: NOW)

    for number in range(MAX_REMEMBERED + 10):
        recorder.note(pulled(number), None)

    assert recorder._remembered == MAX_REMEMBERED
