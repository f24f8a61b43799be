"""Prints results: tables for people, JSON for programs."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ctl.admin.command import Column, Outcome


def print_json(outcome: Outcome) -> None:
    """Prints the JSON of the API. Characters beyond ASCII are escaped, so that it is right in every locale."""
    print(json.dumps(outcome, indent=2))


def print_table(objects: Sequence[Mapping[str, Any]] | Mapping[str, Any], columns: Sequence[Column]) -> None:
    """Prints a list as a table, and one object as lines with a title each."""
    if isinstance(objects, Mapping):
        lines: list[tuple[str, ...]] = [(column.title, printable(column.of(objects))) for column in columns]
    else:
        lines = [tuple(column.title for column in columns)]
        lines += [tuple(printable(column.of(row)) for column in columns) for row in objects]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def printable(text: str) -> str:
    """A text without characters that would move the cursor, or start a command of the terminal."""
    return "".join("\ufffd" if unicodedata.category(character)[0] == "C" else character for character in text)


def _width(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
