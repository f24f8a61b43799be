"""Read-only mode ends when metasvc says so, or says nothing more."""

import asyncio

from blobsvc.domain.read_only import ReadOnlyMode


async def test_it_ends_when_metasvc_says_so() -> None:
    told: list[bool] = []
    mode = ReadOnlyMode(told.append)
    mode.tell(read_only=True)
    mode.tell(read_only=False)
    assert told == [True, False]


async def test_it_ends_when_nobody_prolongs_it() -> None:
    ended = asyncio.Event()
    mode = ReadOnlyMode(lambda read_only: None if read_only else ended.set(), lasts_seconds=0.01)
    mode.tell(read_only=True)
    await asyncio.wait_for(ended.wait(), 10)


async def test_it_is_prolonged_and_not_ended_by_an_earlier_word() -> None:
    told: list[bool] = []
    mode, long_after = ReadOnlyMode(told.append, lasts_seconds=0.01), asyncio.Event()
    mode.tell(read_only=True)
    mode._lasts_seconds = 3600
    mode.tell(read_only=True)
    asyncio.get_running_loop().call_later(0.05, long_after.set)
    await long_after.wait()
    assert told == [True, True]
