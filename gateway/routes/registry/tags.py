"""Docker's tags/list, as the distribution spec has it."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import Answer
from gateway.wire.links import names_after

_MAX_LIMIT = 2**31 - 1


async def answer(exchange: Exchange) -> Answer:
    """The names of a repository's tags. Without `n` these are all tags; with `n=0`, none."""
    limit = exchange.number("n")
    last = exchange.parameter("last") or ""
    await exchange.authenticate()
    if limit is not None:
        limit = min(limit, _MAX_LIMIT)
    names, has_more = await exchange.services.tags.list_names(exchange.repository, limit, last)
    found = Answer.of_json({"name": exchange.repository, "tags": names})
    if has_more and names and limit:
        found.headers.append(names_after(f"/v2/{exchange.repository}/tags/list", names, limit))
    return found
