"""Writes the reference in docs/cli.md: every command of `roadstead admin`, from the parser of the command line.

python -m scripts.write_cli_reference            # writes it
python -m scripts.write_cli_reference --check    # fails if it does not match the code
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ctl.__main__ import command_line
from scripts.reference_page import write_or_check

FILE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

_PREFIX = "roadstead admin "
_HOME = "/home/you"
_EVERYWHERE = {"-h", "--json", "--profile", "--data-dir"}


def reference() -> str:
    """The text after the mark."""
    # The defaults of this machine and user are nobody else's.
    os.environ |= {"HOME": _HOME, "XDG_DATA_HOME": ""}
    lines = []
    for words, parser in _commands(_subparsers(command_line(with_admin=True))["admin"]):
        lines += ["", f"### {words}", "", parser.description or "", "", "```text", _usage(words, parser), "```"]
        rows = [
            f"| `{_cell(_name(action))}` | {_cell(_help(action))} |"
            for action in _own(parser)
            if action.help != argparse.SUPPRESS
        ]
        if rows:
            lines += ["", "| Argument | What it is |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = _subparsers(parser)
    if words and (not below or parser.get_default("run") is not None):
        yield " ".join(words), parser
    for name, each in below.items():
        yield from _commands(each, *words, name)


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - argparse shows them in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            return dict(action.choices)
    return {}


def _own(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - the same
        if not isinstance(action, argparse._SubParsersAction) and not _EVERYWHERE & set(action.option_strings):  # noqa: SLF001 - the same
            yield action


def _usage(words: str, parser: argparse.ArgumentParser) -> str:
    parts = [f"{_PREFIX}{words}"]
    for action in sorted(_own(parser), key=lambda action: bool(action.option_strings)):
        if action.help == argparse.SUPPRESS:
            continue
        is_required = action.required and action.nargs not in {"*", "?"}
        parts.append(_name(action) if is_required else f"[{_name(action)}]")
    return " ".join(parts)


def _name(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.choices is None else "|".join(map(str, action.choices)))
    if not action.option_strings:
        return str(value)
    name = action.option_strings[-1]
    return name if action.nargs == 0 else f"{name} {value}"


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    text = text % {**vars(action), "prog": "roadstead"} if "%(" in text else text
    return text.replace(_HOME, "~")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, reference()))
