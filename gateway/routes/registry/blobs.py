"""Blobs: the whole blob, ranges of it, or only its headers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from gateway.clients.blob import BlobClient, ResolvedBlob
from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import Answer
from gateway.wire.conditions import client_has, entity_tag
from gateway.wire.errors import oci_error
from gateway.wire.ranges import ByteRange, Multipart, UnsatisfiableRange, parse_range
from svckit.convert import to_digest
from svckit.errors import DomainError, error_for
from svckit.rpc import shielded

OCTETS = "application/octet-stream"
# A manifest may give its layers any media type. Types that a browser would render or run are not used for the answer.
_PLAIN = re.compile(r"application/vnd\.[A-Za-z0-9.+_-]+")


class BlobRoute:
    """Answers at /v2/<name>/blobs/<digest>."""

    def __init__(self, max_ranges: int) -> None:
        """Takes the largest number of ranges in one GET."""
        self._max_ranges = max_ranges

    async def answer(self, exchange: Exchange) -> Answer:
        """Reads a blob, or deletes its link to the repository."""
        digest = str(to_digest(exchange.target.item))
        await exchange.authenticate()
        if exchange.request.method == "DELETE":
            await shielded(exchange.services.blobs.unlink(exchange.repository, digest))
            return Answer(202, [("Docker-Content-Digest", digest)])
        blobs = exchange.services.blobs
        try:
            return await self._get(exchange, digest, await blobs.resolve(exchange.repository, digest))
        except DomainError as error:
            if error.reason != "BLOB_DAMAGED":
                raise
        # metasvc has quarantined it, or a push has replaced it since it was resolved.
        return await self._get(exchange, digest, await blobs.resolve(exchange.repository, digest))

    async def _get(self, exchange: Exchange, digest: str, blob: ResolvedBlob) -> Answer:
        request = exchange.request
        size = blob.size_bytes
        media_type = blob.media_type if _PLAIN.fullmatch(blob.media_type) else OCTETS
        headers = [
            ("Docker-Content-Digest", digest),
            ("ETag", entity_tag(digest)),
            ("Accept-Ranges", "bytes"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if client_has(request.headers.getlist("If-None-Match"), digest):
            return Answer(304, headers)
        try:
            ranges = parse_range(self._wanted(exchange, digest), size, self._max_ranges)
        except UnsatisfiableRange:
            refused = oci_error(error_for("RANGE_INVALID", f"the blob has {size} bytes"))
            return refused.with_header("Content-Range", f"bytes */{size}").with_header("Docker-Content-Digest", digest)
        blobs = exchange.services.blobs
        if len(ranges) > 1:
            frame = Multipart.of(ranges, size, media_type)
            headers += [("Content-Type", frame.content_type), ("Content-Length", str(frame.size_bytes))]
            return Answer(206, headers, _multipart(blobs, blob.grant, ranges, frame))
        part = ranges[0] if ranges else ByteRange(0, size - 1)
        headers += [("Content-Type", media_type), ("Content-Length", str(part.length))]
        if ranges:
            headers.append(("Content-Range", part.content_range(size)))
        status = 206 if ranges else 200
        if request.method == "HEAD":
            # A client that is told that the blob is here does not push it.
            await blobs.check(blob.grant)
            return Answer(status, headers)
        if part.length == 0:
            return Answer(status, headers)
        return Answer(status, headers, await blobs.read(blob.grant, part.first, part.length))

    @staticmethod
    def _wanted(exchange: Exchange, digest: str) -> str:
        """The Range header. Empty if it does not apply: the method is not GET, or `If-Range` does not match."""
        headers = exchange.request.headers
        if exchange.request.method != "GET":
            return ""
        condition = headers.get("If-Range")
        if condition is not None and condition.strip() != entity_tag(digest):
            return ""
        return headers.get("Range", "")


async def _multipart(
    blobs: BlobClient, grant: str, ranges: Sequence[ByteRange], frame: Multipart
) -> AsyncIterator[bytes]:
    for head, part in zip(frame.heads, ranges, strict=True):
        yield head
        async with aclosing(await blobs.read(grant, part.first, part.length)) as pieces:
            async for piece in pieces:
                yield piece
    yield frame.tail
