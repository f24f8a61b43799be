"""Converts between the messages of `roadstead.change.v1` and the types of `svckit.change`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from roadstead.change.v1 import change_pb2
from svckit.change import CommittedChange, Cursor, LogPosition, LogState
from svckit.convert import from_actor, from_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svckit.change import K


def to_position(message: change_pb2.LogPosition) -> LogPosition:
    """Reads a position."""
    return LogPosition(epoch=message.epoch, revision=message.revision)


def from_position(position: LogPosition) -> change_pb2.LogPosition:
    """Writes a position."""
    return change_pb2.LogPosition(epoch=position.epoch, revision=position.revision)


def from_change(committed: CommittedChange[K], *, with_origin: bool) -> change_pb2.Change:
    """Writes a change.

    Args:
        committed: the change.
        with_origin: whether the reader is shown the client's address and the id of the token.
    """
    change = committed.change
    origin = change.origin
    return change_pb2.Change(
        revision=committed.revision,
        kind=change.kind.value,
        time=from_time(change.time),
        project_id=change.project_id,
        resource_id=change.resource_id,
        resource_name=change.resource_name,
        reference=change.reference,
        digest=change.digest,
        actor=from_actor(origin.actor),
        request_id=origin.request_id,
        client_address=origin.client_address if with_origin else "",
        token_id=origin.token_id if with_origin else "",
        old_json=_from_fields(change.old),
        new_json=_from_fields(change.new),
    )


def from_cursor(cursor: Cursor, state: LogState) -> change_pb2.Cursor:
    """Writes a cursor, with its lag in a log of this state."""
    return change_pb2.Cursor(
        name=cursor.name,
        position=from_position(cursor.position),
        holder=cursor.holder,
        put_time=from_time(cursor.put_time),
        lag_revisions=state.lag(cursor.position),
    )


def _from_fields(fields: Mapping[str, object] | None) -> str:
    return "" if fields is None else orjson.dumps(dict(fields)).decode()
