"""Harbor's paging: reads `page` and `page_size`, and writes `X-Total-Count` and `Link`."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from google.protobuf.descriptor import Descriptor

from gateway.transcode.decoding import wrong_field

DEFAULT_PAGE_SIZE = 10
MAXIMUM_PAGE_SIZE = 100
"""The limit in Harbor's API description. A larger size is refused, as in Harbor: a client that asks for 1000 and gets
100 would believe that these are all."""

WITH_TOTAL = "with_total"
"""The request field that asks for the total. Harbor always returns the total, so the gateway always sets the field."""

_PAGING = ("page", "page_size", "page_token")


def is_paged(request: Descriptor) -> bool:
    """Whether a request asks for a page."""
    return {"page", "page_size"}.issubset(request.fields_by_name)


def apply_page_defaults(request: Any, query: bytes) -> None:
    """Checks the page that is requested, and sets the defaults: page 1, ten rows, with the total.

    Raises:
        DomainError: BAD_REQUEST if the page is below 1, or the page size is not from 1 to 100.
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
    # A page token takes precedence over a page number.
    if "page_token" in request.DESCRIPTOR.fields_by_name and request.page_token:
        request.page = 0
    elif "page" not in given:
        request.page = 1


def page_headers(path: str, query: bytes, request: Any, response: Any) -> list[tuple[str, str]]:
    """The headers of a page.

    Args:
        path: the path as the client wrote it. The links are relative, as in Harbor.
        query: the query as the client wrote it. The links keep all parameters that are not about paging.
        request: the RPC's request.
        response: the RPC's response. Its fields `total_size` and `next_page_token` are used if it has them.

    Returns:
        `X-Total-Count`; `Link` with the previous and the next page; and `X-Next-Page-Token`. A client that sends this
        token as `page_token` gets the next page at the same cost, however long the list is. A page by number costs
        more the further it is from the start.
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
