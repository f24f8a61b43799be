"""Uploads whose staging file the gateway writes itself."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from blobsvc.domain.model import UploadOwner
from blobsvc.domain.placement import WriteFilePlacement, may_write_directly
from blobsvc.domain.upload import UploadPorts, upload_of
from svckit.errors import Denied, Invalid
from svckit.tokens import UploadTicket

# How far ahead of the writer room is counted, so that it does not have to wait for each piece.
_AHEAD_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far the writer has come.

    Attributes:
        size_bytes: the bytes that the file has.
        wanted_size_bytes: the bytes that it must have next.
    """

    size_bytes: int
    wanted_size_bytes: int


@dataclass(frozen=True, slots=True)
class FileAllowance:
    """What the writer may do.

    Attributes:
        allowed_size_bytes: the bytes that the file may have.
        file: the file, in the first one.
        committed_size_bytes: the bytes that survive a crash, in the last one.
    """

    allowed_size_bytes: int
    file: WriteFilePlacement | None = None
    committed_size_bytes: int | None = None


async def write_upload_file(
    ports: UploadPorts,
    ticket: UploadTicket,
    repository: str,
    offset: int | None,
    progress: AsyncIterator[FileProgress],
    *,
    size_bytes: int | None,
    caller_service: str | None,
) -> AsyncGenerator[FileAllowance, None]:
    """Let the gateway append bytes to the file of an upload. Yields one allowance first, for each progress, and last.

    Bytes count among the unfinished ones before they may be written. If this ends early, bytes that were allowed and
    not written count until the next recount.

    Args:
        ports: the ports of the use cases.
        ticket: the caller's ticket.
        repository: the repository in the request; empty to use the ticket's.
        offset: the position of the first byte; None to append at the end.
        progress: what the writer tells. It holds the lock until it has read the last allowance.
        size_bytes: the size of all bytes that will be written; None if unknown.
        caller_service: the calling service, or None.

    Raises:
        DomainError: FORBIDDEN, the caller may not write files; UNSUPPORTED, the store has no files; others as
            `write_upload`.
    """
    if not may_write_directly(caller_service):
        raise Denied
    upload_id = upload_of(ticket, repository)
    owner = UploadOwner(ticket.repository, ticket.project_id, ticket.subject)
    async with ports.uploads.follow(upload_id, offset) as followed:
        if size_bytes is not None:
            ports.unlinked.require_room(owner, size_bytes)
        size = allowed = followed.placement.committed_size_bytes
        ahead = _AHEAD_BYTES if size_bytes is None else min(_AHEAD_BYTES, size_bytes)
        allowed += ports.unlinked.grow_ahead(upload_id, owner, 0, ahead)
        yield FileAllowance(allowed, file=followed.placement)
        async for step in progress:
            if not size <= step.size_bytes <= allowed:
                raise Invalid(message="the writer of the file has not kept to what it was allowed")
            size = step.size_bytes
            followed.grown(size)
            needed = max(step.wanted_size_bytes - allowed, 0)
            wanted = max(size + _AHEAD_BYTES - allowed, needed)
            allowed += ports.unlinked.grow_ahead(upload_id, owner, needed, wanted)
            yield FileAllowance(allowed)
        committed = await followed.commit()
        ports.unlinked.put(upload_id, owner, committed)
        yield FileAllowance(committed, committed_size_bytes=committed)
