"""Completions of the command line for shells."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctl.arguments import Parser

SHELLS = ("bash", "zsh", "fish")


def print_completion(parser: "Parser", shell: str) -> int:
    """Prints the completions of a whole command line for a shell."""
    import shtab

    print(shtab.complete(parser, shell))
    return 0
