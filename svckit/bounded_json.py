"""Reads JSON that comes from outside: fast, strict, and with bounds that are checked before memory is used.

A few bytes of JSON can make many objects: 4 MiB of `[[],[],…]` make 1.4 million lists, which take 90 MB and a quarter
of a second. So a document with too many values is refused by counting its bytes, before anything is built from it.

jiter builds the objects. Of the readers that were measured, it is the only one that also refuses doubled keys and deep
nesting while it reads (docs/decisions).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import jiter

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

MAX_DEPTH: Final = 200
"""How deeply arrays and objects may be nested. The limit is jiter's own."""
INLINE_BYTES: Final = 64 * 1024
"""A larger document is read in a thread, because reading it takes more than a millisecond."""

_SHOWN_CHARACTERS = 200


class JsonError(ValueError):
    """A document is not JSON, is ambiguous, or exceeds a bound.

    Attributes:
        message: what is wrong: a clause in ASCII that follows the name of the document.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class JsonBounds:
    """The largest document that is read.

    Attributes:
        values: the most values in the whole document, arrays and objects included.
        items: the most items of one array, and the most members of one object.
    """

    values: int = 100_000
    items: int = 10_000


DEFAULT_BOUNDS: Final = JsonBounds()
"""A manifest with 10,000 descriptors fits, with annotations on each of them."""


def read_json(content: bytes, bounds: JsonBounds = DEFAULT_BOUNDS) -> Any:
    """Reads a document.

    Raises:
        JsonError: the content is not UTF-8 or not JSON (RFC 8259), has a lone surrogate, NaN or an infinity; an object
            has a key twice; or a bound is exceeded. The error's traceback refers to no part of what was built.
    """
    count = count_values(content, bounds.values)
    if count > bounds.values:
        raise JsonError(f"has more than {bounds.values} values")
    try:
        document: Any = jiter.from_json(content, allow_inf_nan=False, cache_mode="none", catch_duplicate_keys=True)
    except ValueError as error:
        # The text contains the doubled key, which may be long or contain control characters.
        raise JsonError(f"is not JSON: {ascii(str(error)[:_SHOWN_CHARACTERS])[1:-1]}") from None
    # With so few values, no array or object can have too many.
    if count > bounds.items and _largest(document) > bounds.items:
        del document
        raise JsonError(f"has an array or an object with more than {bounds.items} items")
    return document


async def read_in_thread_if_large(size: int, read: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Calls a function that reads a document of `size` bytes: in a thread if the document is large."""
    if size > INLINE_BYTES:
        return await asyncio.to_thread(read, *args, **named)
    return read(*args, **named)


def count_values(content: bytes, most: int) -> int:
    """Counts the values of a JSON document without reading it.

    Args:
        content: the document. It need not be valid: the part that a reader accepts before it finds an error is counted
            correctly.
        most: the count stops to be exact above this number.

    Returns:
        At least the number of values, and at most one more for each empty array or object. More than `most` if there
        are more.
    """
    # Each value but the first of its container follows a comma, and the first one follows the bracket.
    count = _separators(content)
    if count <= most:
        return count
    # Some of the separators may be in strings, as in an annotation that holds a JSON document. So strings are removed.
    if b"\\" in content:
        content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Each value has two quotes at most, and its key has two.
    if content.count(b'"') > 4 * most:
        return count
    return _separators(b"".join(content.split(b'"')[::2]))


def _separators(content: bytes) -> int:
    return 1 + content.count(b",") + content.count(b"[") + content.count(b"{")


def _largest(document: Any) -> int:
    """The number of items of the largest array or object."""
    largest = 0
    waiting: list[Any] = [document]
    while waiting:
        container = waiting.pop()
        if isinstance(container, dict):
            container = container.values()
        elif not isinstance(container, list):
            continue
        largest = max(largest, len(container))
        waiting.extend(item for item in container if isinstance(item, dict | list))
    return largest
