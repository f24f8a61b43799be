"""Runs one command, and prints what it returns."""

import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from ctl.admin.command import Column, Command
from ctl.admin.output import print_json, print_table
from ctl.admin.session import Session
from ctl.errors import CommandError

_PIPE_STATUS = 141  # of a shell's program that SIGPIPE has ended


def run_command(command: Command, columns: Sequence[Column], options: Namespace) -> int:
    """Runs a command, and returns its exit status.

    Args:
        command: its row in the table.
        columns: of its table.
        options: its arguments.

    Raises:
        CommandError: if it failed.
    """
    if command.asks and not options.yes:
        _ask(command.asks.format(**vars(options)))
    # What the encoding of the terminal lacks is escaped, and not an error after the command has done its work.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with Session(options) as session:
            outcome = command.call(session, options)
        if command.has_output and outcome is not None:
            if options.json:
                print_json(outcome)
            else:
                print_table(command.view(outcome), columns)
            sys.stdout.flush()
    except BrokenPipeError:
        # Such as `| head`. Python would complain again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_STATUS
    return 0


def _ask(what: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(f"there is no terminal to ask whether to {what}; say --yes", 2)
    print(f"Really {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was changed")
