"""Manifests."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import NOT_SNIFFED, Answer
from gateway.wire.conditions import entity_tag, is_not_modified, parse_conditions
from svckit.convert import to_reference
from svckit.errors import error_for
from svckit.oci.reference import Reference
from svckit.rpc import shielded


class ManifestRoute:
    """Answers at /v2/<name>/manifests/<reference>."""

    def __init__(self, max_bytes: int, max_tags: int) -> None:
        """Takes the size of the largest manifest, and the largest number of `tag=` in one PUT."""
        self._max_bytes = max_bytes
        self._max_tags = max_tags

    async def answer(self, exchange: Exchange) -> Answer:
        """Reads, stores or deletes a manifest."""
        reference = to_reference(exchange.target.item)
        match exchange.request.method:
            case "PUT":
                return await self._put(exchange, reference)
            case "DELETE":
                await exchange.authenticate()
                conditions = parse_conditions(exchange.request.headers)
                await shielded(exchange.services.manifests.delete(exchange.repository, str(reference), *conditions))
                return Answer(202)
        return await self._get(exchange, reference)

    async def _get(self, exchange: Exchange, reference: Reference) -> Answer:
        await exchange.authenticate()
        request = exchange.request
        is_head = request.method == "HEAD"
        # The Accept header is ignored: the spec allows no conversion, and old clients do not list all types.
        found = await exchange.services.reads.manifest(
            exchange.call, exchange.repository, str(reference), omit_content=is_head
        )
        headers = [("Docker-Content-Digest", found.digest), ("ETag", entity_tag(found.digest))]
        if is_not_modified(request.headers, found.digest):
            return Answer(304, headers)
        headers += [
            ("Content-Type", found.media_type),
            ("Content-Length", str(found.size_bytes)),
            NOT_SNIFFED,
        ]
        return Answer(200, headers, found.content)

    async def _put(self, exchange: Exchange, reference: Reference) -> Answer:
        request = exchange.request
        tags = list(exchange.query.get("tag", ()))
        if len(tags) > self._max_tags:
            raise error_for("URI_TOO_LONG", f"{len(tags)} tags; the limit is {self._max_tags}")
        await exchange.authenticate()
        exchange.require_push()
        conditions = parse_conditions(request.headers)
        content = await request.body.read(self._max_bytes, "MANIFEST_TOO_LARGE")
        # Parameters of the media type, such as a charset, are not stored.
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
        # Shielded, so that the write also ends if the client disconnects. Otherwise it would be unknown whether the tag
        # was moved.
        put = await shielded(
            exchange.services.manifests.put(exchange.repository, str(reference), media_type, content, tags, *conditions)
        )
        headers = [
            ("Location", f"/v2/{exchange.repository}/manifests/{put.digest}"),
            ("Docker-Content-Digest", put.digest),
            ("ETag", entity_tag(put.digest)),
        ]
        if put.subject_digest:
            headers.append(("OCI-Subject", put.subject_digest))
        if tags:
            headers += [("OCI-Tag", tag) for tag in put.tags]
        return Answer(201, headers)
