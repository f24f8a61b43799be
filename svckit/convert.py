"""Between messages of the contracts and types of domains: what the `convert.py` of several services needs.

A service's own nouns are converted in its own `convert.py`. Names say the direction: `to_…` reads what a caller sent,
`from_…` writes what the domain gives.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, TypeVar, overload

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from roadstead.access.v1 import actor_pb2
from svckit.errors import DomainError, FieldViolation, Invalid, from_oci_error
from svckit.listing import ListRequest
from svckit.oci.digest import Digest
from svckit.oci.errors import OciFormatError
from svckit.oci.reference import Reference, Tag
from svckit.oci.repository import RepositoryName

if TYPE_CHECKING:
    from datetime import datetime

    from svckit.access.actor import Actor
    from svckit.access.call import Call
    from svckit.access.decision import ResolvedProject

T = TypeVar("T")


def parsed(parse: Callable[[str], T], text: str) -> T:
    """Reads what a caller sent by a parser of `svckit.oci`, and refuses it in the words of the distribution spec.

    Raises:
        DomainError: DIGEST_INVALID, NAME_INVALID or TAG_INVALID.
    """
    try:
        return parse(text)
    except OciFormatError as error:
        raise from_oci_error(error) from error


def to_digest(text: str) -> Digest:
    """Reads a digest. Raises as `parsed`."""
    return parsed(Digest.parse, text)


def to_reference(text: str) -> Reference:
    """Reads a tag or digest. Raises as `parsed`."""
    return parsed(Reference.parse, text)


def to_tag(text: str) -> Tag:
    """Reads a tag. Raises as `parsed`."""
    return parsed(Tag.parse, text)


def to_repository_name(text: str) -> RepositoryName:
    """Reads the full name of a repository. Raises as `parsed`."""
    return parsed(RepositoryName.parse, text)


def to_list_request(message: Message) -> ListRequest:
    """Reads which rows and which page of a list are wanted; not every list has all of these fields."""
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
        stamp: what came.
        field: that it came in.

    Raises:
        DomainError: BAD_REQUEST; the time is none of the years 1 to 9999.
    """
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        problem = "is no time between the years 1 and 9999"
        raise Invalid(message=f"{field} {problem}", violations=[FieldViolation(field, problem)]) from None


@overload
def from_time(time: datetime) -> Timestamp: ...
@overload
def from_time(time: datetime | None) -> Timestamp | None: ...
def from_time(time: datetime | None) -> Timestamp | None:
    """Writes a point in time; None stays None, which a message leaves unset."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def from_actor(actor: Actor) -> actor_pb2.Actor:
    """Writes who did something."""
    return actor_pb2.Actor(
        kind=actor.kind,
        id=actor.id,
        name=actor.name,
        on_behalf_of=None if actor.on_behalf_of is None else from_actor(actor.on_behalf_of),
    )


def held(document: T | None) -> T:
    """The ticket, receipt or grant of a call whose rule demands one.

    Raises:
        DomainError: INTERNAL; the rule demands another one, or none.
    """
    if document is None:
        raise DomainError("INTERNAL", "a call reached its servicer without the document that this needs")
    return document


def authorized_project(call: Call) -> ResolvedProject:
    """The project on which the call's rule has permitted it.

    Raises:
        DomainError: INTERNAL; the rule names no project.
    """
    if call.project is None:
        raise DomainError("INTERNAL", f"{call.method} reached its servicer without a project")
    return call.project
