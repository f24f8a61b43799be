"""Harbor's pages: `page` and `page_size` in, `X-Total-Count` and `Link` out."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from google.protobuf.descriptor import Descriptor

from gateway.transcode.decoding import wrong_field

DEFAULT_PAGE_SIZE = 10
MAXIMUM_PAGE_SIZE = 100
"""As Harbor's description has it. More is refused, as there: who asks for 1000 would take 100 for all of them."""

WITH_TOTAL = "with_total"
"""The request field that asks for the total. Harbor's clients always get it, so the gateway sets it for them."""

_PAGING = ("page", "page_size", "page_token")


def is_paged(request: Descriptor) -> bool:
    """Whether a request asks for a page."""
    return {"page", "page_size"}.issubset(request.fields_by_name)


def settle_page(request: Any, query: bytes) -> None:
    """Checks which page is asked for, and fills in what is not said: the first one, of ten rows, with the total.

    Raises:
        DomainError: BAD_REQUEST; a page below 1, or a page size that is not from 1 to 100.
    """
    given = {name for name, _ in parse_qsl(query.decode("latin-1"))} if query else set()
    if "page_size" not in given:
        request.page_size = DEFAULT_PAGE_SIZE
    elif not 1 <= request.page_size <= MAXIMUM_PAGE_SIZE:
        raise wrong_field("page_size", f"from 1 to {MAXIMUM_PAGE_SIZE}")
    if "page" in given and request.page < 1:
        raise wrong_field("page", "1 or more")
    if WITH_TOTAL in request.DESCRIPTOR.fields_by_name:
        request.with_total = True
    # A page token says where to go on, and goes before a number.
    if "page_token" in request.DESCRIPTOR.fields_by_name and request.page_token:
        request.page = 0
    elif "page" not in given:
        request.page = 1


def page_headers(path: str, query: bytes, request: Any, response: Any) -> list[tuple[str, str]]:
    """The headers of a page.

    Args:
        path: as the client wrote it; the links are relative, as Harbor's are.
        query: likewise. What it says beside the page is kept in the links.
        request: the page that was asked for.
        response: what came; `total_size` and `next_page_token` where it has them.

    Returns:
        `X-Total-Count`; `Link` with the previous and the next page; and `X-Next-Page-Token`, which given back as
        `page_token` continues a list at the same cost however long it is, where page numbers cost more with depth.
    """
    fields = response.DESCRIPTOR.fields_by_name
    token = response.next_page_token if "next_page_token" in fields else ""
    others = [(name, value) for name, value in parse_qsl(query.decode("latin-1"), True) if name not in _PAGING]  # noqa: FBT003 - keep_blank_values
    headers: list[tuple[str, str]] = []
    links: list[str] = []

    def link(relation: str, where: tuple[str, str]) -> None:
        target = urlencode([*others, where, ("page_size", str(request.page_size))])
        links.append(f'<{path}?{target}>; rel="{relation}"')

    if "total_size" in fields:
        headers.append(("X-Total-Count", str(response.total_size)))
    if not request.page:
        if token:
            link("next", ("page_token", token))
    elif "total_size" in fields:
        total, size, page = response.total_size, request.page_size, request.page
        if page > 1 and (page - 1) * size <= total:
            link("prev", ("page", str(page - 1)))
        if page * size < total:
            link("next", ("page", str(page + 1)))
    if links:
        headers.append(("Link", " , ".join(links)))
    if token:
        headers.append(("X-Next-Page-Token", token))
    return headers
