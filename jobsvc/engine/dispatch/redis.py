"""Tells other replicas through Redis or Valkey that tasks wait.

There is a stream for each kind. Whoever has made tasks Pending adds a message, and each replica reads all streams and
wakes the claims that wait in it. A message says only that it is worth looking: the rows decide who gets a task. So
nothing is lost with Redis and all that it has. While it is away, waiting claims look by themselves, every second.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from jobsvc.engine.dispatch.connection import BLOCK_SECONDS, connected
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping, Sequence

    from redis.asyncio import Redis

    from jobsvc.engine.dispatch.address import RedisAddress
    from jobsvc.engine.domain.wakes import Wakes
    from svckit.metrics import Metrics

    Read = Sequence[tuple[str, Sequence[tuple[str, Mapping[str, str]]]]]

_PREFIX = "roadstead:queue:"
_FROM = "from"
# A message is worth nothing when all replicas have read it, which takes them milliseconds.
_KEPT_MESSAGES = 100
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0

_log = get_logger(__name__)


class RedisAnnouncer:
    """An announcer. It works while `run` runs."""

    def __init__(self, address: RedisAddress, wakes: Wakes, kinds: Collection[str], metrics: Metrics) -> None:
        """Connects to nothing yet.

        Args:
            address: where Redis or Valkey is.
            wakes: the claims that wait in this process.
            kinds: the kinds whose streams are read.
            metrics: of this process.
        """
        self._address = address
        self._wakes = wakes
        self._streams = {f"{_PREFIX}{kind}": kind for kind in kinds}
        self._own_name = uuid.uuid4().hex
        # Kinds, not messages: while Redis is away, this does not grow.
        self._unsent: set[str] = set()
        self._has_unsent = asyncio.Event()
        self._is_away = False
        self._ok = Gauge(
            "jobsvc_redis_ok",
            "1 while Redis can be used; otherwise waiting claims find tasks by looking",
            ("service",),
            registry=metrics.registry,
        ).labels(metrics.service)
        messages = Counter(
            "jobsvc_wake_messages",
            "Messages that say that tasks wait, by whether they were sent or received",
            ("service", "direction"),
            registry=metrics.registry,
        )
        self._sent = messages.labels(metrics.service, "sent")
        self._received = messages.labels(metrics.service, "received")

    async def announce(self, kinds: Collection[str]) -> None:
        """See `jobsvc.engine.domain.wakes.Announcer`."""
        self._unsent.update(kinds)
        self._has_unsent.set()

    async def run(self) -> None:
        """Sends and receives until it is cancelled. It connects again and again."""
        wait_seconds = _FIRST_RETRY_SECONDS
        while True:
            try:
                async with connected(self._address) as redis:
                    places = await self._begin(redis)
                    self._note_there()
                    wait_seconds = _FIRST_RETRY_SECONDS
                    await _until_one_fails(self._send(redis), self._receive(redis, places))
            except (RedisError, OSError) as error:
                self._note_away(error)
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LONGEST_RETRY_SECONDS)

    async def _begin(self, redis: Redis) -> dict[str, str]:
        """Tries what is needed, and returns the place in each stream of what comes from now on.

        The place is asked for at each connection, not kept: after a failover or a new start, the streams are others.
        "$" is no such place, because it is another one at each read: what comes between two reads would be left out.
        """
        seconds, microseconds = await redis.time()
        _raise_if_cancelled()
        now = seconds * 1000 + microseconds // 1000
        places = dict.fromkeys(self._streams, str(now - 1))
        # Without both, a server that refuses one of them would be back and away again with each connection.
        await self._send_unsent(redis)
        await _read(redis, places)
        return places

    async def _send(self, redis: Redis) -> None:
        while True:
            await self._has_unsent.wait()
            await self._send_unsent(redis)

    async def _send_unsent(self, redis: Redis) -> None:
        self._has_unsent.clear()
        kinds, self._unsent = self._unsent, set()
        if not kinds:
            return
        async with redis.pipeline(transaction=False) as pipeline:
            for kind in kinds:
                pipeline.xadd(f"{_PREFIX}{kind}", {_FROM: self._own_name}, maxlen=_KEPT_MESSAGES, approximate=True)
            try:
                await pipeline.execute()
            except BaseException:
                # They are sent when Redis is back. A doubled message does no harm.
                await self.announce(kinds)
                raise
        _raise_if_cancelled()
        self._sent.inc(len(kinds))

    async def _receive(self, redis: Redis, places: dict[str, str]) -> None:
        # Somebody may have announced something while there was no connection.
        self._wakes.wake_all()
        while True:
            woken = set()
            for stream, messages in await _read(redis, places, block=int(BLOCK_SECONDS * 1000)):
                places[stream] = messages[-1][0]
                self._received.inc(len(messages))
                # This replica has woken its own claims already.
                if any(fields.get(_FROM) != self._own_name for _, fields in messages):
                    woken.add(self._streams[stream])
            self._wakes.wake(woken)

    def _note_there(self) -> None:
        if self._is_away:
            _log.info("redis_is_back", address=str(self._address))
        self._is_away = False
        self._ok.set(1)

    def _note_away(self, error: Exception) -> None:
        self._ok.set(0)
        if not self._is_away:
            _log.warning("redis_away", address=str(self._address), error=str(error))
        self._is_away = True


async def _read(redis: Redis, places: Mapping[str, str], block: int | None = None) -> Read:
    """The messages after these places, by stream. `block` says how many milliseconds it waits for some."""
    # redis-py types the answers of all versions of the protocol, and the arguments as dicts of all that may be in them.
    read = cast("Read", await redis.xread(cast("dict[Any, Any]", places), count=_KEPT_MESSAGES, block=block))
    _raise_if_cancelled()
    return read


async def _until_one_fails(*endless: Coroutine[None, None, None]) -> None:
    """Runs all until one fails, and raises its error."""
    running = [asyncio.ensure_future(each) for each in endless]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in running:
            each.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    raise next(error for error in results if isinstance(error, Exception))


def _raise_if_cancelled() -> None:
    """Call this after each command.

    redis-py calls asyncio.wait_for, which loses a cancellation if its work ends at the same time (mended in Python
    3.12). Without this, the loop would go on, and the process would not end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
