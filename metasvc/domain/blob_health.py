"""Whether the bytes of live blobs are there: asked of blobsvc before a unit of work, and acted on inside it.

A live blob is healthy if blobsvc has just stated that its file exists and has the right size. A transaction must not
wait for another service, so blobsvc is asked before it. If another generation is live by then, blobsvc is asked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from metasvc.domain.blob_store import require_store
from metasvc.domain.model import BlobState
from svckit.errors import Unavailable

if TYPE_CHECKING:
    from metasvc.domain.model import Blob, BlobKey
    from metasvc.domain.ports import Ports
    from svckit.tokens import Damage

T = TypeVar("T")

# A generation changes only if it is damaged or deleted. Three changes during one call do not happen by chance.
_ATTEMPTS = 4


class OtherGenerationError(Exception):
    """The live generation is another one than blobsvc was asked about. Ask again."""


@dataclass(frozen=True, slots=True)
class Health:
    """What blobsvc has stated.

    Attributes:
        live: the live blobs that it was asked about, by digest.
        damages: what is wrong with the damaged ones.
        is_unknown: whether blobsvc could not be asked, and the work goes on without its answer.
    """

    live: Mapping[str, Blob] = field(default_factory=dict)
    damages: Mapping[BlobKey, Damage] = field(default_factory=dict)
    is_unknown: bool = False

    def require(self, key: BlobKey) -> None:
        """Raises `OtherGenerationError` unless blobsvc was asked about this live generation."""
        asked = self.live.get(key.digest)
        if not self.is_unknown and (asked is None or asked.key != key):
            raise OtherGenerationError

    def is_healthy(self, digest: str) -> bool:
        """Whether there was a live blob of this digest, and it is healthy."""
        blob = self.live.get(digest)
        return blob is not None and blob.key not in self.damages

    @property
    def damaged(self) -> list[tuple[Blob, Damage]]:
        """The damaged blobs."""
        return [(blob, self.damages[blob.key]) for blob in self.live.values() if blob.key in self.damages]


async def examine(ports: Ports, blobs: Iterable[Blob]) -> Health:
    """Asks blobsvc about live blobs, outside of any unit of work. It is not called if there are none.

    Raises:
        DomainError: UNAVAILABLE; blobsvc cannot be reached, cannot look at one of them, or has another store.
    """
    live = {blob.digest: blob for blob in blobs if blob.state is BlobState.LIVE}
    sizes: Sequence[int | None] = []
    if live:
        stated = await ports.bytes.sizes([blob.key for blob in live.values()])
        await require_store(ports, stated.store_id)
        sizes = stated.sizes
    damages: dict[BlobKey, Damage] = {}
    for blob, size in zip(live.values(), sizes, strict=True):
        if size != blob.size:
            damages[blob.key] = "missing" if size is None else "size"
    return Health(live, damages)


async def with_health(
    ports: Ports, find: Callable[[], Awaitable[Iterable[Blob]]], work: Callable[[Health], Awaitable[T]]
) -> T:
    """Runs work that relies on the health of live blobs.

    Args:
        ports: the ports of metasvc.
        find: reads the blobs, in a unit of its own.
        work: may raise `OtherGenerationError`. Then blobsvc is asked again, and the work runs again.

    Raises:
        DomainError: UNAVAILABLE, and the errors of `work`.
    """
    for _ in range(_ATTEMPTS):
        health = await examine(ports, await find())
        try:
            return await work(health)
        except OtherGenerationError:
            continue
    raise Unavailable(message="the stored blob changes all the time; try again")
