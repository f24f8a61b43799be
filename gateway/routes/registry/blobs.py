"""Blobs: the whole blob, ranges of it, or only its headers."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

from gateway.clients.blob import BlobClient
from gateway.clients.reads.reads import ResolvedBlob
from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import ACCEPTS_RANGES, NOT_SNIFFED, Answer
from gateway.wire.conditions import entity_tag, is_not_modified, require_conditions
from gateway.wire.errors import oci_error
from gateway.wire.ranges import BlobRead, ByteRange, Multipart, UnsatisfiableRange, parse_range, plan_reads
from svckit.convert import to_digest
from svckit.errors import DomainError, error_for
from svckit.rpc import shielded

OCTETS = "application/octet-stream"
_PIECE_BYTES = 64 * 1024
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
            require_conditions(exchange.request.headers, digest)
            await shielded(exchange.services.blobs.unlink(exchange.repository, digest))
            return Answer(202, [("Docker-Content-Digest", digest)])
        reads = exchange.services.reads
        try:
            return await self._get(exchange, digest, await reads.blob(exchange.call, exchange.repository, digest))
        except DomainError as error:
            if error.reason != "BLOB_DAMAGED":
                raise
        # metasvc has quarantined it, or a push has replaced it since it was resolved.
        return await self._get(exchange, digest, await reads.blob(exchange.call, exchange.repository, digest))

    async def _get(self, exchange: Exchange, digest: str, blob: ResolvedBlob) -> Answer:
        request = exchange.request
        size = blob.size_bytes
        media_type = blob.media_type if _PLAIN.fullmatch(blob.media_type) else OCTETS
        headers = [
            ("Docker-Content-Digest", digest),
            ("ETag", entity_tag(digest)),
            ACCEPTS_RANGES,
            NOT_SNIFFED,
        ]
        if is_not_modified(request.headers, digest):
            return Answer(304, headers)
        try:
            ranges = parse_range(self._wanted(exchange, digest), size, self._max_ranges)
        except UnsatisfiableRange:
            refused = oci_error(error_for("RANGE_INVALID", f"the blob has {size} bytes"))
            return refused.with_header("Content-Range", f"bytes */{size}").with_header("Docker-Content-Digest", digest)
        blobs = exchange.services.blobs
        if request.method != "HEAD":
            request.visit.begin_stream()
        reads = plan_reads(ranges)
        if len(ranges) > 1 and reads:
            frame = Multipart.of([part for read in reads for part in read.parts], size, media_type)
            headers += [("Content-Type", frame.content_type), ("Content-Length", str(frame.size_bytes))]
            file = await blobs.file_body(blob, frame.parts)
            return Answer(206, headers, file or _multipart(blobs, await blobs.granted(blob), reads, frame))
        if not reads:
            ranges = ()
        part = ranges[0] if ranges else ByteRange(0, size - 1)
        headers += [("Content-Type", media_type), ("Content-Length", str(part.length))]
        if ranges:
            headers.append(("Content-Range", part.content_range(size)))
        status = 206 if ranges else 200
        if request.method == "HEAD":
            # A client that is told that the blob is here does not push it.
            await blobs.check(blob)
            return Answer(status, headers)
        if part.length == 0:
            return Answer(status, headers)
        file = await blobs.file_body(blob, [part.positions])
        return Answer(status, headers, file or await blobs.read(blob, part.first, part.length))

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
    blobs: BlobClient, blob: ResolvedBlob, reads: Sequence[BlobRead], frame: Multipart
) -> AsyncIterator[bytes]:
    """The body of a `multipart/byteranges` answer, in pieces of a useful size."""
    heads = iter(frame.heads)
    held: list[bytes] = []
    held_bytes = 0
    for read in reads:
        async for piece in _parts(blobs, blob, read, heads):
            held.append(piece)
            held_bytes += len(piece)
            if held_bytes >= _PIECE_BYTES:
                yield b"".join(held)
                held.clear()
                held_bytes = 0
    held.append(frame.tail)
    yield b"".join(held)


async def _parts(blobs: BlobClient, blob: ResolvedBlob, read: BlobRead, heads: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The parts that are cut from one read, each after its head."""
    waiting = deque(read.parts)
    begin = read.whole.first
    async with aclosing(await blobs.read(blob, begin, read.whole.length)) as pieces:
        async for piece in pieces:
            end = begin + len(piece)
            while waiting and waiting[0].first < end:
                part = waiting[0]
                if part.first >= begin:
                    yield next(heads)
                yield piece[max(part.first - begin, 0) : part.last + 1 - begin]
                if part.last >= end:
                    break
                waiting.popleft()
            begin = end
