"""Converts between contract messages and domain types, as far as several services need the same conversion.

A service converts its own types in its own `convert.py`. The names say the direction: `to_…` makes a domain type from a
caller's message, `from_…` makes a message from a domain type.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar, overload

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from roadstead.access.v1 import actor_pb2
from svckit.actor import Actor
from svckit.errors import DomainError, Invalid, from_oci_error
from svckit.listing import ListRequest
from svckit.oci.digest import Digest
from svckit.oci.errors import OciFormatError
from svckit.oci.reference import Reference, Tag
from svckit.oci.repository import RepositoryName

if TYPE_CHECKING:
    from datetime import datetime

    from svckit.access.call import Call
    from svckit.access.decision import ResolvedProject

T = TypeVar("T")

# Many requests name the same things, and to parse a digest costs as much as to look up a token. Texts that cannot be
# parsed are not remembered, and what can be parsed is short: a mebibyte for each kind at most.
_digest = lru_cache(maxsize=2048)(Digest.parse)
_reference = lru_cache(maxsize=2048)(Reference.parse)
_repository_name = lru_cache(maxsize=2048)(RepositoryName.parse)


def parsed(parse: Callable[[str], T], text: str) -> T:
    """Parses a caller's text with a parser of `svckit.oci`, and raises its error as a domain error.

    Raises:
        DomainError: DIGEST_INVALID, NAME_INVALID or TAG_INVALID.
    """
    try:
        return parse(text)
    except OciFormatError as error:
        raise from_oci_error(error) from error


def to_digest(text: str) -> Digest:
    """Reads a digest. Raises as `parsed`."""
    return parsed(_digest, text)


def to_reference(text: str) -> Reference:
    """Reads a tag or digest. Raises as `parsed`."""
    return parsed(_reference, text)


def to_tag(text: str) -> Tag:
    """Reads a tag. Raises as `parsed`."""
    return parsed(Tag.parse, text)


def to_repository_name(text: str) -> RepositoryName:
    """Reads the full name of a repository. Raises as `parsed`."""
    return parsed(_repository_name, text)


def to_list_request(message: Message) -> ListRequest:
    """Reads the filter, the order and the page of a list request. Fields that the message does not have are empty."""
    return ListRequest(
        q=getattr(message, "q", ""),
        sort=getattr(message, "sort", ""),
        page=getattr(message, "page", 0),
        page_size=getattr(message, "page_size", 0),
        page_token=getattr(message, "page_token", ""),
        with_total=getattr(message, "with_total", False),
    )


def to_time(stamp: Timestamp, field: str) -> datetime:
    """Reads a point in time, to the microsecond.

    Args:
        stamp: the time in the message.
        field: the name of its field, for the error.

    Raises:
        DomainError: BAD_REQUEST if the time is not between the years 1 and 9999.
    """
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise Invalid.of_field(field, "is not a time between the years 1 and 9999") from None


@overload
def from_time(time: datetime) -> Timestamp: ...
@overload
def from_time(time: datetime | None) -> Timestamp | None: ...
def from_time(time: datetime | None) -> Timestamp | None:
    """Writes a point in time. None stays None, so that the field is not set."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def from_actor(actor: Actor) -> actor_pb2.Actor:
    """Writes an actor."""
    return actor_pb2.Actor(
        kind=actor.kind,
        id=actor.id,
        name=actor.name,
        on_behalf_of=None if actor.on_behalf_of is None else from_actor(actor.on_behalf_of),
    )


def to_actor(message: actor_pb2.Actor) -> Actor:
    """Reads an actor that another service states. Its kind may be one of a newer program: it is only recorded."""
    cause = to_actor(message.on_behalf_of) if message.HasField("on_behalf_of") else None
    return Actor(message.kind, message.id, message.name, cause)  # type: ignore[arg-type]


def held(document: T | None) -> T:
    """The ticket, receipt, grant or finding of a call whose rule demands one.

    Raises:
        DomainError: INTERNAL; the rule demands another one, or none.
    """
    if document is None:
        raise DomainError("INTERNAL", "a call reached its servicer without the document that this needs")
    return document


def authorized_project(call: Call) -> ResolvedProject:
    """The project in which the call was authorized.

    Raises:
        DomainError: INTERNAL if the rule names no project.
    """
    if call.project is None:
        raise DomainError("INTERNAL", f"{call.method} reached its servicer without a project")
    return call.project
