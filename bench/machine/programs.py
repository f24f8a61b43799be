"""The programs that measurements need."""

import os
import shutil
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_FOLDERS = (str(_ROOT / ".tools" / "bin"), "/usr/bin", "/usr/sbin")


class MissingError(Exception):
    """Something that a measurement needs is not on this machine. The text says what, and how to get it."""


def find(name: str) -> str:
    """The path of a program.

    Raises:
        MissingError: it is not there.
    """
    found = shutil.which(name, path=":".join((*_FOLDERS, os.environ.get("PATH", ""))))
    if found is None:
        raise MissingError(
            f"{name} is missing: `make bench` installs what it can (Debian packages as root; Go programs)"
        )
    return found
