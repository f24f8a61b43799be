r"""Patterns for names, as Harbor's users write them: those of Go's library doublestar (github.com/bmatcuk/doublestar).

| Pattern | Matches |
|---|---|
| `*` | any characters but `/`, also none |
| `**` as a whole part of a path | any parts, also none; at the end at least one |
| `?` | one character but `/` |
| `[abc]`, `[a-z]`, `[^a-z]`, `[!a-z]` | one character but `/`: one of these, or none of these |
| `{a,b}` | one of several patterns, which may hold `/`, `**` and more braces |
| `\x` | `x` itself |

A pattern matches the whole name. The empty pattern matches every name, as in Harbor.

RE2 does the matching. It needs time in proportion to the length of the name, whoever wrote the pattern. Libraries for
such patterns backtrack: one pattern of 30 characters would stop the process for minutes (docs/decisions/0042).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import re2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Braces multiply: without these bounds, a short pattern could stand for more variants than fit into memory.
_MOST_STEPS = 1_000
_MOST_CHARACTERS = 16_384
_KEPT = 1_024
_MAX_MEMORY_BYTES = 256 * 1024
_STAR = "*"
_LAST_CHARACTER = 0x10FFFF
_PLAIN = re.compile(r"[0-9A-Za-z_]")
_ANY = "[^/]"
_ANY_PARTS = f"(?:{_ANY}*/)*"
_NONE = rf"[^\x00-\x{{{_LAST_CHARACTER:x}}}]"


class PatternError(ValueError):
    """A pattern is malformed. The text says how, and follows the name of the field."""


@dataclass(frozen=True, slots=True)
class Doublestar:
    """A pattern.

    Attributes:
        text: as it was written.
    """

    text: str
    _compiled: Any = field(repr=False, compare=False)

    @staticmethod
    def parse(text: str) -> Doublestar:
        """Reads a pattern. Those that were used last are kept.

        Raises:
            PatternError: it is malformed, or its braces stand for too many variants.
        """
        return _compiled(text)

    def matches(self, name: str) -> bool:
        """Whether it matches the whole name."""
        return not self.text or self._compiled.fullmatch(name) is not None


@lru_cache(_KEPT)
def _compiled(text: str) -> Doublestar:
    expression = "|".join(f"(?:{_expression(variant)})" for variant in _variants(text))
    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    try:
        return Doublestar(text, re2.compile(expression, options))
    except re2.error:
        raise PatternError("is too large") from None


def _variants(text: str) -> Iterator[str]:
    """The patterns without braces that a pattern stands for."""
    waiting = [(text, 0)]
    steps = characters = 0
    while waiting:
        variant, start = waiting.pop()
        steps += 1
        characters += len(variant)
        brace = _first_brace(variant, start)
        if brace < 0:
            yield variant
        else:
            *alternatives, rest = _alternatives(variant, brace)
            waiting += ((f"{variant[:brace]}{each}{rest}", brace) for each in reversed(alternatives))
        if steps + len(waiting) > _MOST_STEPS or characters > _MOST_CHARACTERS:
            raise PatternError("has too many alternatives in braces")


def _first_brace(text: str, start: int) -> int:
    """The place of the first opening brace from a place on; -1 without one. Checks what lies before it."""
    place = start
    while place < len(text):
        character = text[place]
        if character == "{":
            return place
        if character == "}":
            raise PatternError("has a brace that is not opened")
        if character == "[":
            _, place = _read_class(text, place)
        else:
            place += 2 if character == "\\" else 1
    if place > len(text):
        raise PatternError("ends with a backslash")
    return -1


def _alternatives(text: str, brace: int) -> list[str]:
    """The patterns in a pair of braces, and at the end what follows the pair."""
    found = []
    depth = 0
    begin = place = brace + 1
    while place < len(text):
        character = text[place]
        if character == "\\":
            place += 1
        elif character == "{":
            depth += 1
        elif character == "," and depth == 0:
            found.append(text[begin:place])
            begin = place + 1
        elif character == "}":
            if depth == 0:
                return [*found, text[begin:place], text[place + 1 :]]
            depth -= 1
        place += 1
    raise PatternError("has a brace that is not closed")


def _expression(variant: str) -> str:
    """The regular expression of a pattern without braces."""
    parts = list(_parts(variant))
    expression = "".join(_ANY_PARTS if part == [_STAR, _STAR] else f"{_joined(part)}/" for part in parts[:-1])
    return expression + (f"{_ANY}*(?:/{_ANY}*)*" if parts[-1] == [_STAR, _STAR] else _joined(parts[-1]))


def _parts(variant: str) -> Iterator[list[str]]:
    """The parts between slashes, each as its stars and the expressions between them."""
    part: list[str] = []
    place = 0
    while place < len(variant):
        character = variant[place]
        place += 1
        if character == "\\":
            character = variant[place]
            place += 1
        elif character == "*":
            part.append(_STAR)
            continue
        elif character == "?":
            part.append(_ANY)
            continue
        elif character == "[":
            expression, place = _read_class(variant, place - 1)
            part.append(expression)
            continue
        if character == "/":
            yield part
            part = []
        else:
            part.append(_literal(character))
    yield part


def _joined(part: Iterable[str]) -> str:
    return "".join(f"{_ANY}*" if piece == _STAR else piece for piece in part)


def _read_class(text: str, place: int) -> tuple[str, int]:
    """The expression of the character class that begins at a place, and the place after it."""
    place += 1
    is_negated = text[place : place + 1] in ("!", "^")
    place += is_negated
    ranges: list[tuple[int, int]] = []
    before: int | None = None
    while place < len(text) and text[place] != "]":
        # At the beginning, at the end and after a range, "-" stands for itself.
        is_range = text[place] == "-" and before is not None and text[place + 1 : place + 2] != "]"
        place += is_range
        place += text[place : place + 1] == "\\"
        if place >= len(text):
            break
        character = ord(text[place])
        place += 1
        ranges.append((before if is_range and before is not None else character, character))
        before = None if is_range else character
    if text[place : place + 1] != "]" or not ranges:
        raise PatternError("has a character class that is empty or not closed")
    return _class_expression(ranges, is_negated=is_negated), place + 1


def _class_expression(ranges: Iterable[tuple[int, int]], *, is_negated: bool) -> str:
    slash = ord("/")
    if is_negated:
        allowed = [(slash, slash), *ranges]
    else:
        # A class never matches a slash, also one in a range.
        below = [(low, min(high, slash - 1)) for low, high in ranges]
        above = [(max(low, slash + 1), high) for low, high in ranges]
        allowed = below + above
    written = "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in allowed if low <= high)
    if not written:
        return _NONE
    return f"[^{written}]" if is_negated else f"[{written}]"


def _literal(character: str) -> str:
    return character if _PLAIN.fullmatch(character) else rf"\x{{{ord(character):x}}}"
