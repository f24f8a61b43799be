"""The arguments that every list has, and what they ask for."""

from argparse import ArgumentTypeError, Namespace
from typing import Any

from ctl.admin.command import Argument, argument


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 10**9:
        raise ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


LIMIT = argument("--limit", type=_positive, metavar="N", help="the most rows (default: all)")
SORT = argument("--sort", metavar="KEYS", help="the order in Harbor's form, such as `--sort=-creation_time`")
QUERY = argument(
    "--query", metavar="Q", help="only what matches, in Harbor's form, such as `name=~web` (docs/harbor-api.md#lists)"
)
FILTERED: tuple[Argument, ...] = (QUERY, SORT, LIMIT)


def asked(options: Namespace) -> dict[str, Any]:
    """The arguments of `Api.rows` for a list."""
    query = {"q": getattr(options, "query", None), "sort": getattr(options, "sort", None)}
    return {"limit": options.limit, **{name: value for name, value in query.items() if value is not None}}


def exactly(key: str, value: str) -> str:
    """A `q` for one value of a key. The backslash takes a first character such as `~` as it is."""
    return f"{key}=\\{value}"
