"""The command line of `roadstead admin`, made from the table of commands."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ctl.admin.command import Column, Command
from ctl.admin.completion import SHELLS, print_completion
from ctl.admin.nouns.users import PASSWORD_FILE, USER, set_password
from ctl.admin.run import run_command
from ctl.admin.session import PROFILE_VARIABLE
from ctl.admin.table import NOUNS, SINGLE
from ctl.admin.target import saved_password
from ctl.arguments import Parser
from ctl.data_dir import DataDir

_SECRET_OPTIONS = ("--password", "--secret", "--token")


def add_nouns(tasks: "argparse._SubParsersAction[Parser]", root: Parser) -> None:
    """Adds everything in the table to the tasks of `roadstead admin`.

    Args:
        tasks: what to add it to.
        root: the parser of the whole command line, for completions.
    """
    for noun in NOUNS:
        parser = tasks.add_parser(noun.name, help=noun.help, description=_sentence(noun.help))
        verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
        for command in noun.commands:
            _add_command(verbs, command, command.columns or noun.columns)
    for command in SINGLE:
        _add_command(tasks, command, command.columns)
    _add_older(tasks)
    completion = tasks.add_parser(
        "completion",
        help="print what completes the commands in a shell",
        description="Prints what completes the commands of roadstead in a shell. docs/cli.md says where to put it.",
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell that reads it")
    completion.set_defaults(run=lambda options: print_completion(root, options.shell))


def _add_older(tasks: "argparse._SubParsersAction[Parser]") -> None:
    """Adds two tasks that are older than the nouns."""
    password = tasks.add_parser(
        "password",
        help="print the password of the user admin that the data directory holds",
        description="Prints the password of the user admin that the data directory holds.",
    )
    _add_data_dir(password)
    password.set_defaults(run=_print_password)
    older = Command(
        "set-password",
        "the same as `users set-password`",
        set_password,
        (USER, PASSWORD_FILE),
        has_output=False,
    )
    _add_command(tasks, older, ())


def _add_command(verbs: "argparse._SubParsersAction[Parser]", command: Command, columns: Sequence[Column]) -> None:
    parser = verbs.add_parser(command.verb, help=command.help, description=_sentence(command.help))
    groups: dict[str, Any] = {}
    for each in command.arguments:
        place: Any = parser
        if each.exclusive:
            place = groups.setdefault(each.exclusive, None) or parser.add_mutually_exclusive_group()
            groups[each.exclusive] = place
        place.add_argument(*each.names, **each.options)
    if command.asks:
        parser.add_argument("--yes", action="store_true", help="do not ask")
    if command.has_output:
        parser.add_argument("--json", action="store_true", help="print the JSON of the API")
    if command.needs_installation:
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--profile", metavar="NAME", help=f"the remote installation (default: the variable {PROFILE_VARIABLE})"
        )
        _add_data_dir(where, "the installation of this machine, if there is no profile")
    for name in _SECRET_OPTIONS:
        # Known only to be refused in these words. Otherwise the message could repeat the secret.
        parser.add_argument(name, nargs="?", action=_RefuseSecret, help=argparse.SUPPRESS)
    parser.set_defaults(run=partial(run_command, command, columns))


def _add_data_dir(parser: Any, help_text: str = "where all data is stored") -> None:
    parser.add_argument(
        "--data-dir",
        type=lambda text: DataDir(Path(text).absolute()),
        metavar="DIR",
        help=f"{help_text} (default: {DataDir.default().path})",
    )


def _print_password(options: argparse.Namespace) -> int:
    print(saved_password(options.data_dir or DataDir.default()))
    return 0


class _RefuseSecret(argparse.Action):
    """Refuses a secret in the arguments, without repeating it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(
            "arguments hold no secrets: every user of this machine can see them, and the shell keeps them. "
            "--help shows where a secret can come from"
        )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
