"""Placements: the ways to read or write bytes, and which callers may use which."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import ClassVar, TypeVar


class PlacementKind(Enum):
    """A way to read or write bytes."""

    STREAM = auto()
    FILE = auto()
    URL = auto()


@dataclass(frozen=True, slots=True)
class StreamPlacement:
    """Bytes over gRPC, for reads and for writes. It always works."""

    kind: ClassVar[PlacementKind] = PlacementKind.STREAM


@dataclass(frozen=True, slots=True)
class ReadFilePlacement:
    """A finished blob as a file, for a reader that shares the file system.

    Attributes:
        path: relative to the folder of the store.
        store_id: the id of the store.
        inode: the inode of the file.
        size_bytes: the size of the file.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.FILE

    path: str
    store_id: str
    inode: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class HttpHeader:
    """A header that the client must send. `repr` hides its value, which may be a secret."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadUrlPlacement:
    """A finished blob at a URL.

    Attributes:
        url: the URL, for GET. A secret; `repr` hides it.
        expire_time: when it stops working.
        headers: headers that the client must send.
        accepts_ranges: whether a Range header works.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.URL

    url: str = field(repr=False)
    expire_time: datetime
    headers: tuple[HttpHeader, ...] = ()
    accepts_ranges: bool = True


@dataclass(frozen=True, slots=True)
class WriteFilePlacement:
    """The staging file of an upload, which the writer locks with flock.

    Attributes:
        path: relative to the folder of the store.
        store_id: the id of the store.
        inode: the inode of the file. The writer compares it with the inode of `path` once it holds the lock.
        committed_size_bytes: how many bytes are stored so far.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.FILE

    path: str
    store_id: str
    inode: int
    committed_size_bytes: int


@dataclass(frozen=True, slots=True)
class UrlPart:
    """One part of an upload, with a URL of its own.

    Attributes:
        number: 1 for the first part.
        url: the URL, for PUT. A secret; `repr` hides it.
        headers: headers that the client must send.
    """

    number: int
    url: str = field(repr=False)
    headers: tuple[HttpHeader, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteUrlPlacement:
    """An upload in parts, directly to an object store.

    Attributes:
        parts: the parts that may be written.
        minimum_part_size_bytes: the smallest size of a part; the last part may be smaller.
        maximum_part_size_bytes: the largest size of a part.
        expire_time: when the URLs stop working.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.URL

    parts: tuple[UrlPart, ...]
    minimum_part_size_bytes: int
    maximum_part_size_bytes: int
    expire_time: datetime


ReadPlacement = StreamPlacement | ReadFilePlacement | ReadUrlPlacement
WritePlacement = StreamPlacement | WriteFilePlacement | WriteUrlPlacement

STREAM_ONLY = (StreamPlacement(),)
"""The placements of a store that supports only streams."""

# A service that writes without blobsvc must respect the upload's lock. Only the gateway is trusted to do so.
_DIRECT_WRITERS = frozenset({"gateway"})

AnyPlacement = TypeVar("AnyPlacement", ReadPlacement, WritePlacement)


def may_write_directly(caller_service: str | None) -> bool:
    """Whether a caller may write uploads without blobsvc.

    Args:
        caller_service: the calling service, as its token has proved; None for any other caller.
    """
    return caller_service in _DIRECT_WRITERS


def write_placements_for(caller_service: str | None, offered: Iterable[WritePlacement]) -> tuple[WritePlacement, ...]:
    """The ways to write an upload that a caller may use: all of them for the gateway, else the stream.

    Args:
        caller_service: the calling service, as its token has proved; None for any other caller.
        offered: the placements that the store offers, best first.
    """
    if may_write_directly(caller_service):
        return tuple(offered)
    return of_kinds({PlacementKind.STREAM}, offered)


def of_kinds(kinds: Collection[PlacementKind], offered: Iterable[AnyPlacement]) -> tuple[AnyPlacement, ...]:
    """The offered placements that have one of these kinds, in the same order."""
    return tuple(placement for placement in offered if placement.kind in kinds)
