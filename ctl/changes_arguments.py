"""The command line of `roadstead admin changes`. It imports its tasks when one is chosen, as `ctl.__main__` does."""

import argparse
from pathlib import Path
from typing import Any

from ctl.data_dir import DataDir


def add_changes(tasks: "argparse._SubParsersAction[Any]") -> None:
    """Adds `changes`, and what it can do, to the tasks of `roadstead admin`."""
    changes = tasks.add_parser(
        "changes",
        help="look after the change logs of an installation that is stopped",
        description="Looks after the change logs of an installation that is stopped.",
    )
    commands = changes.add_subparsers(title="commands", metavar="COMMAND", required=True)
    renew = commands.add_parser(
        "renew-epoch",
        help="begin a new epoch of the change logs, after a restore from a backup",
        description=(
            "Begins a new epoch of the change logs, after a restore from a backup and before the services start. "
            "Readers of the logs then begin anew. Otherwise they would take new changes for those that were lost."
        ),
    )
    places = renew.add_mutually_exclusive_group()
    places.add_argument(
        "--data-dir",
        type=lambda text: DataDir(Path(text).absolute()),
        metavar="DIR",
        help=f"where `roadstead up` stores all data (default: {DataDir.default().path})",
    )
    places.add_argument("--config", type=Path, metavar="FILE", help="the settings of `roadstead serve`, in TOML")
    renew.set_defaults(run=_renew_epoch)


def _renew_epoch(options: argparse.Namespace) -> int:
    from ctl.changes import renew_epochs, renew_epochs_of

    if options.config is not None:
        return renew_epochs_of(options.config)
    return renew_epochs(options.data_dir or DataDir.default())
