"""Uploads: begun by POST, written by PATCH, closed by PUT; or all in one POST.

The ticket of blobsvc travels in the query of every Location (`_state`), so the gateway keeps nothing. It is the right
to go on: an upload ends well though the caller's token has ended meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from gateway.clients.upload import StartedUpload
from gateway.routes.registry.exchange import ChallengeNeeded, Exchange
from gateway.wire.answer import Answer
from gateway.wire.credentials import Bearer
from gateway.wire.errors import oci_error
from gateway.wire.ranges import ByteRange, parse_upload_range, upload_range
from svckit.convert import to_digest, to_repository_name
from svckit.errors import DomainError, Invalid, NotFound, error_for
from svckit.oci.digest import ALGORITHMS
from svckit.rpc import shielded
from svckit.tokens import UploadTicket
from svckit.tokens.verifier import TokenVerifier


class UploadRoute:
    """Answers at /v2/<name>/blobs/uploads/ and below."""

    def __init__(self, verifier: TokenVerifier, commit_seconds: float) -> None:
        """Takes who reads tickets, and how long the end of an upload may take."""
        self._verifier = verifier
        self._commit_seconds = commit_seconds

    async def begin(self, exchange: Exchange) -> Answer:
        """POST: mounts a blob, takes a whole one, or begins a session."""
        wanted = exchange.parameter("digest")
        mount = exchange.parameter("mount")
        if mount is not None:
            mounted = await self._mount(exchange, mount)
            if mounted is not None:
                return mounted
        elif wanted is not None:
            return await self._take_whole(exchange, wanted)
        else:
            await exchange.authenticate()
        algorithm = exchange.parameter("digest-algorithm") or ""
        if algorithm and algorithm not in ALGORITHMS:
            raise error_for("DIGEST_INVALID", f"digests of {' and '.join(ALGORITHMS)} are served")
        upload = await exchange.services.uploads.start(exchange.repository, algorithm)
        return _progress(202, exchange, upload, 0)

    async def go_on(self, exchange: Exchange) -> Answer:
        """PATCH, PUT, GET, HEAD and DELETE of a session."""
        upload = self._session(exchange)
        uploads = exchange.services.uploads
        match exchange.request.method:
            case "GET" | "HEAD":
                return _progress(204, exchange, upload, await uploads.status(upload.ticket, exchange.repository))
            case "DELETE":
                await shielded(uploads.cancel(upload.ticket, exchange.repository))
                return Answer(204)
        try:
            if exchange.request.method == "PUT":
                return await self._close(exchange, upload)
            committed = await self._append(exchange, upload)
        except DomainError as error:
            return await self._out_of_order(exchange, upload, error)
        return _progress(202, exchange, upload, committed)

    async def _mount(self, exchange: Exchange, text: str) -> Answer | None:
        """The answer to a mount; None where there is to be a session instead, whatever it was that prevented it."""
        source = exchange.parameter("from") or ""
        try:
            digest = str(to_digest(text))
            source = to_repository_name(source).value if source else ""
        except DomainError:
            await exchange.authenticate()
            return None
        if source:
            exchange.require_pull(source)
        await exchange.authenticate()
        mounted = await shielded(exchange.services.blobs.mount(exchange.repository, digest, source))
        return _created(exchange, digest) if mounted else None

    async def _take_whole(self, exchange: Exchange, text: str) -> Answer:
        """A blob in one POST."""
        digest = to_digest(text)
        await exchange.authenticate()
        upload = await exchange.services.uploads.start(exchange.repository, digest.algorithm)
        size = exchange.request.content_length
        exchange.allow(None)
        await self._write(exchange, upload, None, size)
        return await self._commit(exchange, upload, str(digest), size)

    def _session(self, exchange: Exchange) -> StartedUpload:
        """The session that the request goes on with.

        The caller's token goes along where there is one, for the log of the services; it need not count any more.

        Raises:
            ChallengeNeeded: neither a ticket nor credentials.
            DomainError: BLOB_UPLOAD_UNKNOWN without a ticket, or with that of another upload than the path names;
                TICKET_INVALID.
        """
        credentials = exchange.request.credentials
        if isinstance(credentials, Bearer):
            exchange.call.token = credentials.token
        ticket = exchange.parameter("_state")
        if not ticket:
            if credentials is None:
                raise ChallengeNeeded
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        held = self._verifier.verify(ticket, UploadTicket)
        if (held.upload_id, held.repository) != (exchange.target.item, exchange.repository):
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        return StartedUpload(exchange.target.item, ticket)

    async def _append(self, exchange: Exchange, upload: StartedUpload) -> int:
        """Writes the body where it belongs; gives the committed size."""
        chunk = _chunk(exchange)
        exchange.allow(None)
        size = exchange.request.content_length
        if chunk is not None and size is not None and size != chunk.length:
            raise Invalid("SIZE_INVALID", f"Content-Range names {chunk.length} bytes, and Content-Length {size}")
        offset, length = (None, size) if chunk is None else (chunk.first, chunk.length)
        return await self._write(exchange, upload, offset, length)

    async def _write(self, exchange: Exchange, upload: StartedUpload, offset: int | None, length: int | None) -> int:
        chunks = _limited(exchange.request.body.chunks(), length)
        return await exchange.services.uploads.write(upload.ticket, exchange.repository, offset, chunks)

    async def _close(self, exchange: Exchange, upload: StartedUpload) -> Answer:
        """The closing PUT, with the last bytes or without."""
        text = exchange.parameter("digest")
        if text is None:
            raise Invalid("DIGEST_INVALID", "the closing PUT names the digest of the blob: ?digest=…")
        digest = str(to_digest(text))
        chunk = _chunk(exchange)
        request = exchange.request
        # Most closing PUTs are empty, and say so.
        if chunk is not None or request.content_length or "Transfer-Encoding" in request.headers or _is_http2(exchange):
            try:
                await self._append(exchange, upload)
            except DomainError as error:
                # Finished already, and the answer got lost: finishing again by the same ticket gives the same receipt.
                if error.reason != "BLOB_UPLOAD_UNKNOWN":
                    raise
        return await self._commit(exchange, upload, digest, None if chunk is None else chunk.last + 1)

    async def _commit(self, exchange: Exchange, upload: StartedUpload, digest: str, size: int | None) -> Answer:
        """Verifies, stores and links the blob. Shielded: a client that went must not leave bytes that nobody links."""
        exchange.allow(self._commit_seconds)
        services, repository, seconds = exchange.services, exchange.repository, self._commit_seconds

        async def commit() -> str:
            receipt = await services.uploads.finish(upload.ticket, repository, digest, size, seconds)
            return await services.blobs.link(repository, receipt)

        return _created(exchange, await shielded(commit()))

    async def _out_of_order(self, exchange: Exchange, upload: StartedUpload, error: DomainError) -> Answer:
        """A chunk that does not belong where it was to go: 416 with where to go on, and the session lives."""
        if error.reason != "RANGE_INVALID":
            raise error
        committed = error.metadata.get("committed_size", "")
        if committed.isdigit():
            size = int(committed)
        else:
            exchange.allow(self._commit_seconds)
            size = await exchange.services.uploads.status(upload.ticket, exchange.repository)
        refused = oci_error(error)
        refused.headers += _progress(416, exchange, upload, size).headers
        return refused


def _is_http2(exchange: Exchange) -> bool:
    # There a body needs no header to announce it.
    return not exchange.request.http_version.startswith("1") and exchange.request.content_length is None


def _chunk(exchange: Exchange) -> ByteRange | None:
    """Where the body belongs; None where the client does not say. One that says it twice is refused as malformed."""
    headers = exchange.request.headers.getlist("Content-Range")
    return parse_upload_range(",".join(headers)) if headers else None


async def _limited(chunks: AsyncIterator[bytes], length: int | None) -> AsyncIterator[bytes]:
    """The chunks, which must be so many bytes in all where that was said."""
    seen = 0
    async for chunk in chunks:
        seen += len(chunk)
        if length is not None and seen > length:
            break
        yield chunk
    if length is not None and seen != length:
        raise Invalid("SIZE_INVALID", f"{length} bytes were announced, and {'more' if seen > length else seen} came")


def _progress(status: int, exchange: Exchange, upload: StartedUpload, committed_size_bytes: int) -> Answer:
    path = f"/v2/{exchange.repository}/blobs/uploads/{quote(upload.id, safe='')}"
    return Answer(
        status,
        [
            ("Location", f"{path}?_state={quote(upload.ticket, safe='')}"),
            ("Range", upload_range(committed_size_bytes)),
            ("Docker-Upload-UUID", upload.id),
        ],
    )


def _created(exchange: Exchange, digest: str) -> Answer:
    location = f"/v2/{exchange.repository}/blobs/{digest}"
    return Answer(201, [("Location", location), ("Docker-Content-Digest", digest)])
