"""Link headers (RFC 8288) that lead to the next page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode


def names_after(path: str, names: Sequence[str], size: int) -> tuple[str, str]:
    """The header for the page after these names, in the form of the distribution spec: it names the last of them.

    Args:
        path: the path of the list, not encoded.
        names: the names on this page; at least one.
        size: the size of a page.
    """
    return next_page(path, {"n": size, "last": names[-1]})


def next_page(path: str, query: Mapping[str, str | int]) -> tuple[str, str]:
    """The header that leads to the next page. The link is relative: clients refuse another host than their own.

    Args:
        path: the path of the list, not encoded.
        query: the query of the next page.
    """
    return "Link", f'<{quote(path)}?{urlencode(query)}>; rel="next"'
