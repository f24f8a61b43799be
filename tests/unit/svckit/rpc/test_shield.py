"""Work that goes on though nobody waits for it any more."""

import asyncio

import pytest

from svckit.rpc import settle_shielded, shielded
from tests.unit.svckit.rpc.conftest import Log


async def test_what_it_returns_and_raises_is_what_the_work_does() -> None:
    async def answers() -> int:
        return 7

    async def breaks() -> None:
        raise LookupError

    assert await shielded(answers()) == 7
    with pytest.raises(LookupError):
        await shielded(breaks())
    assert await settle_shielded() == 0


async def test_a_cancelled_caller_leaves_the_work_running_until_it_is_settled() -> None:
    release, done = asyncio.Event(), []

    async def commit() -> None:
        await release.wait()
        done.append(True)

    caller = asyncio.ensure_future(shielded(commit()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await settle_shielded(0.01) == 1
    assert not done
    release.set()
    assert await settle_shielded() == 0
    assert done


async def test_what_it_raises_when_nobody_waits_is_logged(log: Log) -> None:
    release = asyncio.Event()

    async def breaks() -> None:
        await release.wait()
        raise LookupError("too late")

    caller = asyncio.ensure_future(shielded(breaks()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()
    await settle_shielded()
    await asyncio.sleep(0)
    [line] = [line for line in log() if line["event"] == "shielded_work_failed"]
    assert "too late" in line["exception"]
