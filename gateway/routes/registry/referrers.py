"""The referrers of a manifest (distribution-spec, "Listing Referrers")."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import Answer
from gateway.wire.links import next_page
from svckit.convert import to_digest
from svckit.errors import NotFound
from svckit.oci.media_types import OCI_INDEX
from svckit.oci.referrers import referrers_index

_MAX_PAGE_SIZE = 1000


async def answer(exchange: Exchange) -> Answer:
    """An index of the manifests that refer to a digest.

    The status is never 404: clients would conclude that this registry has no referrers API, and would always use the
    fallback tags.
    """
    digest = str(to_digest(exchange.target.item))
    artifact_type = exchange.parameter("artifactType") or ""
    size = min(exchange.number("n") or _MAX_PAGE_SIZE, _MAX_PAGE_SIZE)
    page_token = exchange.parameter("page_token") or ""
    await exchange.authenticate()
    try:
        found, following = await exchange.services.referrers.list(
            exchange.repository, digest, artifact_type, size, page_token
        )
    except NotFound:
        found, following = [], ""
    index = Answer(200, [("Content-Type", OCI_INDEX)], referrers_index(found))
    query: dict[str, str | int] = {}
    if artifact_type:
        index.headers.append(("OCI-Filters-Applied", "artifactType"))
        query["artifactType"] = artifact_type
    if following:
        query |= {"n": size, "page_token": following}
        index.headers.append(next_page(f"/v2/{exchange.repository}/referrers/{digest}", query))
    return index
