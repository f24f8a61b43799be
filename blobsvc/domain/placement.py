"""Placements: the ways in which bytes may be moved, and who is offered which."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import ClassVar, TypeVar


class PlacementKind(Enum):
    """A way to move bytes."""

    STREAM = auto()
    FILE = auto()
    URL = auto()


@dataclass(frozen=True, slots=True)
class StreamPlacement:
    """Over gRPC, for reads and for writes. It always works."""

    kind: ClassVar[PlacementKind] = PlacementKind.STREAM


@dataclass(frozen=True, slots=True)
class ReadFilePlacement:
    """A finished blob as a file that the reader may see too.

    Attributes:
        path: relative to the folder of the store.
        store_id: of the store.
        inode: of the file.
        size_bytes: of the file.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.FILE

    path: str
    store_id: str
    inode: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class HttpHeader:
    """A header that has to be sent. `repr` hides its value, which may be a secret."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadUrlPlacement:
    """A finished blob behind an address.

    Attributes:
        url: the address, for GET. A secret; `repr` hides it.
        expire_time: when it stops working.
        headers: that have to be sent.
        accepts_ranges: whether a Range header is honoured.
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
        store_id: of the store.
        inode: of the file, to be compared with that of `path` once the lock is held.
        committed_size_bytes: stored so far.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.FILE

    path: str
    store_id: str
    inode: int
    committed_size_bytes: int


@dataclass(frozen=True, slots=True)
class UrlPart:
    """One part of an upload behind an address of its own.

    Attributes:
        number: from 1 on.
        url: the address, for PUT. A secret; `repr` hides it.
        headers: that have to be sent.
    """

    number: int
    url: str = field(repr=False)
    headers: tuple[HttpHeader, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteUrlPlacement:
    """An upload in parts, straight into an object store.

    Attributes:
        parts: that may be put.
        minimum_part_size_bytes: of every part but the last.
        maximum_part_size_bytes: of a part.
        expire_time: when the addresses stop working.
    """

    kind: ClassVar[PlacementKind] = PlacementKind.URL

    parts: tuple[UrlPart, ...]
    minimum_part_size_bytes: int
    maximum_part_size_bytes: int
    expire_time: datetime


ReadPlacement = StreamPlacement | ReadFilePlacement | ReadUrlPlacement
WritePlacement = StreamPlacement | WriteFilePlacement | WriteUrlPlacement

STREAM_ONLY = (StreamPlacement(),)
"""What a store offers that can do nothing else."""

# Whoever writes past this service must keep to the lock, and nobody else is trusted with that.
_DIRECT_WRITERS = frozenset({"gateway"})

AnyPlacement = TypeVar("AnyPlacement", ReadPlacement, WritePlacement)


def write_placements_for(caller_service: str | None, offered: Iterable[WritePlacement]) -> tuple[WritePlacement, ...]:
    """What a caller is told of the ways to write an upload: all of them for the gateway, else the stream.

    Args:
        caller_service: the service that calls, as its token has proved; None for any other caller.
        offered: by the store, best first.
    """
    if caller_service in _DIRECT_WRITERS:
        return tuple(offered)
    return of_kinds({PlacementKind.STREAM}, offered)


def of_kinds(kinds: Collection[PlacementKind], offered: Iterable[AnyPlacement]) -> tuple[AnyPlacement, ...]:
    """The placements of some kinds, in their order."""
    return tuple(placement for placement in offered if placement.kind in kinds)
