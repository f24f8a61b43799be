"""An argument parser that suggests what was meant."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Suggests the nearest word in place of an unknown one. Options are written out: `--insec` is not `--insecure`."""

    def __init__(self, **options: Any) -> None:
        """Takes the arguments of `argparse.ArgumentParser`."""
        super().__init__(**{"allow_abbrev": False, **options})
        # The parser of the command that was chosen comes last, and stays.
        self.set_defaults(parser=self)

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parses the arguments, and ends the program with status 2 if they are wrong.

        Args:
            arguments: None for those of the program.
        """
        options, rest = self.parse_known_args(arguments)
        if rest:
            chosen: Parser = options.parser
            chosen.refuse(rest)
        return options

    def refuse(self, words: Iterable[str]) -> NoReturn:
        """Says what is wrong with words that are no arguments. They may be a password, so only options are repeated."""
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        known = sorted(name for name in self._option_string_actions if name.startswith("--"))
        self.error("; ".join(_unknown(word, known) for word in options) or "there are more arguments than it takes")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, _unknown(str(value), map(str, action.choices)))


def _unknown(word: str, known: Iterable[str]) -> str:
    words = list(known)
    close = difflib.get_close_matches(word, words, 1)
    if close:
        return f"{word} is not known; did you mean {close[0]}?"
    return f"{word} is not known; there are {', '.join(words)}"
