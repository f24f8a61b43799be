"""Looks at files: many with one thread, and a disk that hangs stops neither the event loop nor those who wait."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.clients.file_looks import FileLooks
from gateway.clients.store_folder import OtherStoreError, PlacedFile, look_at
from svckit.errors import DomainError
from svckit.threads import BlockingPool

STORE_ID = "the-store"


@pytest.fixture
def pool() -> Iterator[BlockingPool]:
    pool = BlockingPool("looks", 2)
    yield pool
    pool.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store-id").write_text(f"{STORE_ID}\n")
    return tmp_path


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each thread looked at."""
    sizes: list[int] = []

    def counting(folder: Path, places: Sequence[PlacedFile]) -> list[bool | OtherStoreError]:
        sizes.append(len(places))
        return look_at(folder, places)

    monkeypatch.setattr("gateway.clients.file_looks.look_at", counting)
    return sizes


def placed(folder: Path, name: str, store_id: str = STORE_ID) -> PlacedFile:
    file = folder / name
    file.write_bytes(name.encode())
    return PlacedFile(store_id, name, file.stat().st_ino, len(name))


async def test_looks_at_the_same_time_go_together_and_each_has_its_own_answer(
    folder: Path, pool: BlockingPool, groups: list[int]
) -> None:
    looks = FileLooks(folder, pool, 30)
    places = [placed(folder, f"blob{number}") for number in range(20)]
    for number in (3, 17):
        (folder / f"blob{number}").unlink()
    outside = PlacedFile(STORE_ID, "../store-id", 1, 1)
    foreign = placed(folder, "foreign", "another-store")

    found = await asyncio.gather(
        *(looks.is_there(place) for place in [*places, outside, foreign]), return_exceptions=True
    )

    assert found[:20] == [number not in {3, 17} for number in range(20)]
    assert [str(error) for error in found[20:]] == [
        "blobsvc named a path that is not in it",
        "blobsvc has the store another-store, and the folder the-store",
    ]
    assert sorted(groups) == [6, 16]
    assert await looks.is_there(places[0])


async def test_a_folder_without_a_store_is_said_to_be_none(tmp_path: Path, pool: BlockingPool) -> None:
    place = placed(tmp_path, "blob")
    with pytest.raises(OtherStoreError, match="its store-id cannot be read: No such file or directory"):
        await FileLooks(tmp_path, pool, 30).is_there(place)


async def test_who_leaves_does_not_disturb_the_others(folder: Path, pool: BlockingPool, groups: list[int]) -> None:
    looks = FileLooks(folder, pool, 30)
    one, other = (asyncio.ensure_future(looks.is_there(placed(folder, name))) for name in ("one", "other"))
    # Both wait now.
    await asyncio.sleep(0)
    one.cancel()

    assert await other
    assert one.cancelled()
    assert groups == [2]


async def test_a_disk_that_hangs_holds_up_nobody_for_longer_than_allowed(
    folder: Path, pool: BlockingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three looks, one after the other, so that the third one finds no thread."""
    answers = threading.Event()
    begun = threading.Semaphore(0)

    def hanging(folder: Path, places: Sequence[PlacedFile]) -> list[bool | OtherStoreError]:
        begun.release()
        answers.wait(20)
        return look_at(folder, places)

    monkeypatch.setattr("gateway.clients.file_looks.look_at", hanging)
    looks = FileLooks(folder, pool, 0.2)
    place = placed(folder, "blob")
    try:
        asked = []
        for _ in range(3):
            asked.append(asyncio.ensure_future(looks.is_there(place)))
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            found = await asyncio.gather(*asked, return_exceptions=True)
        assert [each.reason for each in found if isinstance(each, DomainError)] == ["UNAVAILABLE"] * 3
    finally:
        answers.set()
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)
    # Both threads are free again, and have not begun the third look.
    assert all(await asyncio.gather(looks.is_there(place), looks.is_there(place)))
    assert begun.acquire(timeout=10)
    assert not begun.acquire(blocking=False)


def test_a_file_that_many_ask_for_is_looked_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    lstat = os.lstat

    def noted(path: str) -> os.stat_result:
        looks.append(path)
        return lstat(path)

    here, gone = placed(folder, "here"), placed(folder, "gone")
    other = here._replace(inode=here.inode + 1)
    (folder / "gone").unlink()
    monkeypatch.setattr("gateway.clients.store_folder.os.lstat", noted)

    assert look_at(folder, [here, gone, here, other, here, gone]) == [True, False, True, False, True, False]
    # A place with another inode is another question.
    assert looks == [f"{folder}/{name}" for name in ("here", "gone", "here")]
    assert look_at(folder, [here]) == [True]
    assert len(looks) == 4
