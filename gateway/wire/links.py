"""Link headers (RFC 8288) that lead to the next page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode


def next_page(path: str, query: Mapping[str, str | int]) -> tuple[str, str]:
    """The header that leads to the next page. Relative: another host than the client's own would be refused.

    Args:
        path: of the list, not encoded.
        query: of the next page.
    """
    return "Link", f'<{quote(path)}?{urlencode(query)}>; rel="next"'
