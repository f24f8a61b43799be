"""Follows the projects in authsvc's change log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metasvc.domain.project_projection import note_all, note_created, note_deleted
from roadstead.auth.v1.change_service_pb2 import WatchRequest
from roadstead.auth.v1.change_service_pb2_grpc import ChangeServiceStub
from svckit.changes.reader import ChangeReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from metasvc.domain.ports import Ports
    from roadstead.change.v1.change_pb2 import Change
    from svckit.change import LogPosition
    from svckit.sql.followed_log import FollowedLog

_CREATED, _DELETED = "project_created", "project_deleted"


class ProjectLog:
    """Makes rows of what it reads: a `svckit.changes.reader.ChangeConsumer`. Each replica may do the same."""

    def __init__(self, ports: Ports, followed: FollowedLog) -> None:
        """Takes the domain's ports, and the place of the position."""
        self._ports = ports
        self._followed = followed

    async def position(self) -> LogPosition | None:
        """See the port."""
        return await self._followed.position()

    async def begin(self, position: LogPosition) -> None:
        """See the port."""
        await note_all(self._ports)
        await self._followed.keep(position)

    async def apply(self, changes: Sequence[Change], position: LogPosition) -> None:
        """See the port."""
        for change in changes:
            if change.kind == _CREATED:
                await note_created(self._ports, change.project_id)
            elif change.kind == _DELETED:
                await note_deleted(self._ports, change.project_id)
        # A position that moves on by heartbeats is not worth a write: after a restart, little is read again.
        if changes:
            await self._followed.keep(position)


def project_reader(channel: grpc.aio.Channel, ports: Ports, followed: FollowedLog) -> ChangeReader:
    """The reader of authsvc's log, on a channel on which metasvc acts for itself."""
    request = WatchRequest(kinds=[_CREATED, _DELETED])
    return ChangeReader(ChangeServiceStub(channel).Watch, request, ProjectLog(ports, followed))
