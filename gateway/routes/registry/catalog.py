"""Docker's _catalog."""

from __future__ import annotations

from gateway.routes.registry.exchange import Exchange
from gateway.wire.answer import Answer
from gateway.wire.links import names_after

_DEFAULT_PAGE_SIZE = 100
_MAX_PAGE_SIZE = 1000


async def answer(exchange: Exchange) -> Answer:
    """The names of all repositories, for administrators, a page at a time."""
    asked = exchange.number("n")
    size = _DEFAULT_PAGE_SIZE if asked is None else min(asked, _MAX_PAGE_SIZE)
    last = exchange.parameter("last") or ""
    await exchange.authenticate()
    # With n=0 no names are needed. The service is still called, because it checks whether the caller may list them.
    names, has_more = await exchange.services.repositories.list_catalog(max(size, 1), last)
    if size == 0:
        names, has_more = [], False
    found = Answer.of_json({"repositories": names})
    if has_more and names:
        found.headers.append(names_after("/v2/_catalog", names, size))
    return found
