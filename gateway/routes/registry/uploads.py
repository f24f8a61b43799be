"""Uploads: POST begins an upload, PATCH writes, PUT closes it. Or one POST does everything.

blobsvc's ticket is in the query of every Location (`_state`), so the gateway keeps no state. Clients print that URL in
their errors. So an upload goes on with its ticket and a token of the caller who began it; the token may have expired
since then.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from gateway.clients.small_upload import SMALL_BYTES, SmallBytes
from gateway.clients.upload import StartedUpload
from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import Answer
from gateway.wire.errors import oci_error
from gateway.wire.ranges import ByteRange, parse_upload_range, upload_range
from gateway.wire.upload_body import UploadBody
from svckit.access.authorization import authorize_upload
from svckit.access.principal import Principal
from svckit.convert import to_digest, to_repository_name
from svckit.errors import DomainError, Invalid, NotFound, error_for
from svckit.oci.digest import ALGORITHMS
from svckit.rpc import shielded
from svckit.tokens import RegistryToken, UploadTicket
from svckit.tokens.documents import LONGEST_EXPIRED_SECONDS
from svckit.tokens.verifier import TokenVerifier

_LARGEST_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Session:
    """An upload that the caller may continue: its project, and the subject that began it."""

    upload: StartedUpload
    project_id: int
    subject: str


class UploadRoute:
    """Answers at /v2/<name>/blobs/uploads/ and below."""

    def __init__(self, verifier: TokenVerifier, commit_seconds: float) -> None:
        """Takes the verifier of tickets and tokens, and how long finishing an upload may take."""
        self._verifier = verifier
        self._commit_seconds = commit_seconds

    async def begin(self, exchange: Exchange) -> Answer:
        """POST: mounts a blob, receives a whole blob, or begins a session."""
        wanted = exchange.parameter("digest")
        mount = exchange.parameter("mount")
        if mount is not None:
            mounted = await self._mount(exchange, mount)
            if mounted is not None:
                return mounted
        elif wanted is not None:
            return await self._upload_whole(exchange, wanted)
        else:
            await exchange.authenticate()
        algorithm = exchange.parameter("digest-algorithm") or ""
        if algorithm and algorithm not in ALGORITHMS:
            raise error_for("DIGEST_INVALID", f"digests of {' and '.join(ALGORITHMS)} are supported")
        upload = await exchange.services.uploads.start(exchange.repository, algorithm)
        return _progress(202, exchange, upload, 0)

    async def continue_session(self, exchange: Exchange) -> Answer:
        """PATCH, PUT, GET, HEAD and DELETE of a session."""
        held = await self._session(exchange)
        upload = held.upload
        uploads = exchange.services.uploads
        match exchange.request.method:
            case "GET" | "HEAD":
                return _progress(204, exchange, upload, await uploads.status(upload.ticket, exchange.repository))
            case "DELETE":
                await shielded(uploads.cancel(upload.ticket, exchange.repository))
                return Answer(204)
        try:
            if exchange.request.method == "PUT":
                return await self._close(exchange, held)
            committed = await self._append(exchange, held)
        except DomainError as error:
            return await self._out_of_order(exchange, upload, error)
        return _progress(202, exchange, upload, committed)

    async def _mount(self, exchange: Exchange, text: str) -> Answer | None:
        """The answer to a mount; None if it is not possible for any reason. Then a session is begun instead."""
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

    async def _upload_whole(self, exchange: Exchange, text: str) -> Answer:
        """Receives a whole blob in one POST."""
        digest = to_digest(text)
        await exchange.authenticate()
        token = self._verifier.verify(exchange.call.token or "", RegistryToken)
        size = _size(exchange)
        entry = token.allowed("repository", exchange.repository, "push")
        if entry is not None and entry.project_id is not None and size:
            await exchange.services.quotas.check_upload_size(entry.project_id, size)
        upload = await exchange.services.uploads.start(exchange.repository, digest.algorithm, size)
        exchange.set_timeout(None)
        last = await self._write_or_read(exchange, upload, token.subject, None, size)
        return await self._commit(exchange, upload, str(digest), size, last)

    async def _session(self, exchange: Exchange) -> _Session:
        """The session that the request continues, if the caller may continue it.

        blobsvc checks the same. It is checked here as well, so that no body is read before.

        Raises:
            ChallengeNeeded: there are no credentials.
            DomainError: BLOB_UPLOAD_UNKNOWN without a ticket, or if the ticket is for another upload than the path;
                TICKET_INVALID, also for the upload of another caller; UNAUTHORIZED, INSUFFICIENT_SCOPE.
        """
        await exchange.authenticate()
        token = self._verifier.verify(exchange.call.token or "", RegistryToken, expired_seconds=LONGEST_EXPIRED_SECONDS)
        ticket = exchange.parameter("_state")
        if not ticket:
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        held = self._verifier.verify(ticket, UploadTicket)
        if (held.upload_id, held.repository) != (exchange.target.item, exchange.repository):
            raise NotFound("BLOB_UPLOAD_UNKNOWN")
        authorize_upload(Principal.of_registry(token), held)
        return _Session(StartedUpload(exchange.target.item, ticket), held.project_id, held.subject)

    async def _place(self, exchange: Exchange, held: _Session) -> tuple[int | None, int | None]:
        """Where the body belongs, and its size; each None if the request does not say it.

        An upload that says it is larger than the project's whole limit is refused before its body is read.
        """
        chunk = _chunk(exchange)
        exchange.set_timeout(None)
        size = _size(exchange)
        if chunk is not None and size is not None and size != chunk.length:
            raise Invalid("SIZE_INVALID", f"Content-Range names {chunk.length} bytes, and Content-Length {size}")
        offset, length = (None, size) if chunk is None else (chunk.first, chunk.length)
        declared = size if chunk is None else chunk.last + 1
        if declared:
            await exchange.services.quotas.check_upload_size(held.project_id, declared)
        return offset, length

    async def _append(self, exchange: Exchange, held: _Session) -> int:
        """Writes the body where it belongs; gives the committed size."""
        offset, length = await self._place(exchange, held)
        return await self._write(exchange, held.upload, held.subject, offset, length)

    async def _write(
        self, exchange: Exchange, upload: StartedUpload, subject: str, offset: int | None, length: int | None
    ) -> int:
        request = exchange.request
        request.visit.begin_stream(subject)
        body = UploadBody(request.body, length)
        return await exchange.services.uploads.write(
            upload.ticket, exchange.repository, offset, body, length, body.rest
        )

    async def _write_or_read(
        self, exchange: Exchange, upload: StartedUpload, subject: str, offset: int | None, length: int | None
    ) -> SmallBytes | None:
        """Reads the last bytes of an upload if they are few, so that one call appends them and finishes the upload.

        Returns:
            The bytes; None if they are written.
        """
        if length is None or length > SMALL_BYTES:
            await self._write(exchange, upload, subject, offset, length)
            return None
        exchange.request.visit.begin_stream(subject)
        body = UploadBody(exchange.request.body, length)
        return SmallBytes(b"".join([piece async for chunk in body for piece in chunk]), offset)

    async def _close(self, exchange: Exchange, held: _Session) -> Answer:
        """The closing PUT, with the last bytes or without."""
        text = exchange.parameter("digest")
        if text is None:
            raise Invalid("DIGEST_INVALID", "the closing PUT must name the digest of the blob: ?digest=…")
        digest = str(to_digest(text))
        chunk = _chunk(exchange)
        request = exchange.request
        last: SmallBytes | None = None
        # Most closing PUTs have no body, and their headers show that.
        if chunk is not None or request.content_length or "Transfer-Encoding" in request.headers or _is_http2(exchange):
            try:
                offset, length = await self._place(exchange, held)
                last = await self._write_or_read(exchange, held.upload, held.subject, offset, length)
            except DomainError as error:
                # The upload may be finished already, if the answer to the first PUT was lost. Finishing it again with
                # the same ticket returns the same receipt.
                if error.reason != "BLOB_UPLOAD_UNKNOWN":
                    raise
        return await self._commit(exchange, held.upload, digest, None if chunk is None else chunk.last + 1, last)

    async def _commit(
        self, exchange: Exchange, upload: StartedUpload, digest: str, size: int | None, last: SmallBytes | None
    ) -> Answer:
        """Verifies, stores and links the blob. Shielded: if the client disconnects, the blob must still be linked."""
        exchange.set_timeout(self._commit_seconds)
        services, repository, seconds = exchange.services, exchange.repository, self._commit_seconds

        async def commit() -> str:
            receipt = await services.uploads.finish(upload.ticket, repository, digest, size, seconds, last)
            return await services.blobs.link(repository, receipt)

        return _created(exchange, await shielded(commit()))

    async def _out_of_order(self, exchange: Exchange, upload: StartedUpload, error: DomainError) -> Answer:
        """The answer to a chunk at a wrong offset: 416 with the right offset. The session stays open."""
        if error.reason != "RANGE_INVALID":
            raise error
        committed = error.metadata.get("committed_size", "")
        if committed.isdigit():
            size = int(committed)
        else:
            exchange.set_timeout(self._commit_seconds)
            size = await exchange.services.uploads.status(upload.ticket, exchange.repository)
        refused = oci_error(error)
        refused.headers += _progress(416, exchange, upload, size).headers
        return refused


def _is_http2(exchange: Exchange) -> bool:
    # With HTTP/2, a body needs no header that announces it.
    return not exchange.request.http_version.startswith("1") and exchange.request.content_length is None


def _size(exchange: Exchange) -> int | None:
    """The size of the body; None without a Content-Length.

    Raises:
        DomainError: SIZE_INVALID; no store takes so many bytes, and no message can name their number.
    """
    size = exchange.request.content_length
    if size is not None and size > _LARGEST_BYTES:
        raise Invalid("SIZE_INVALID", "the Content-Length is too large")
    return size


def _chunk(exchange: Exchange) -> ByteRange | None:
    """The range of the chunk; None without the header. Two headers are refused as malformed."""
    headers = exchange.request.headers.getlist("Content-Range")
    return parse_upload_range(",".join(headers)) if headers else None


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
