"""Where passwords come from, and where secrets go: never arguments, which every user of the machine can read."""

import getpass
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ctl.errors import CommandError

Kind = Literal["ask", "stdin", "file", "variable"]

_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a password comes from.

    Attributes:
        kind: the terminal, a line of standard input, a file, or a variable.
        name: of the file or the variable.
    """

    kind: Kind
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "SecretSource":
        """Reads "ask", "stdin", "file:PATH" or "variable:NAME".

        Raises:
            ValueError: if it is none of them.
        """
        given, _, name = text.partition(":")
        for kind in get_args(Kind):
            if given == kind and bool(name) == (kind in {"file", "variable"}):
                return cls(kind, name)
        raise ValueError(f"{text!r} is none of ask, stdin, file:PATH and variable:NAME")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def read(self, prompt: str) -> str:
        """Reads the password.

        Args:
            prompt: what to ask on the terminal.

        Raises:
            CommandError: if there is none.
        """
        if self.kind == "ask":
            return _ask(prompt)
        if self.kind == "stdin":
            return _line_of_stdin()
        if self.kind == "file":
            return read_secret_file(Path(self.name))
        return _not_empty(os.environ.get(self.name, ""), f"the variable {self.name} is not set")


def read_secret_file(path: Path) -> str:
    """The content of a file with a password, without the line break at its end.

    Raises:
        CommandError: if it cannot be read, or other users can read it.
    """
    try:
        with path.open("rb") as file:
            refuse_open_mode(path, os.fstat(file.fileno()))
            text = file.read(_MOST_BYTES).decode()
    except OSError as error:
        raise CommandError(f"cannot read the password in {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"the password in {path} is not UTF-8") from error
    return _not_empty(text.removesuffix("\n"), f"{path} is empty")


def refuse_open_mode(path: Path, status: os.stat_result) -> None:
    """Refuses a file that other users can read or change. A pipe is none: nobody else can open it.

    Raises:
        CommandError: if others can.
    """
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_uid not in {os.geteuid(), 0}:
        raise CommandError(f"{path} belongs to another user, who could change it; copy it, and make the copy your own")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise CommandError(f"other users can read or change {path} (mode {mode:04o}); `chmod 600 {path}` prevents it")


def new_password(file: Path | None, of: str) -> str:
    """A new password, from a file (`-` is standard input), or asked for twice on a terminal, or from standard input.

    Args:
        file: None if no file was named.
        of: whose password it is.

    Raises:
        CommandError: if there is none, or the two that were typed differ.
    """
    if file is not None and str(file) != "-":
        return read_secret_file(file)
    if file is not None or not sys.stdin.isatty():
        return _line_of_stdin()
    password = _ask(f"New password of {of}: ")
    if _ask("Once more: ") != password:
        raise CommandError("the two passwords are not the same; nothing was changed")
    return password


@contextmanager
def new_secret_file(path: Path) -> Iterator["SecretFile"]:
    """A new file for a secret, for its owner only. It is made before the secret is, and removed if there comes none.

    Raises:
        CommandError: if it exists, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already; name another file, or remove it") from error
    except OSError as error:
        raise CommandError(f"cannot make {path}: {error.strerror}") from error
    file = SecretFile(path, descriptor)
    try:
        yield file
    finally:
        os.close(descriptor)
        if not file.is_written:
            path.unlink(missing_ok=True)


class SecretFile:
    """A file that waits for a secret.

    Attributes:
        is_written: whether the secret is in it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Takes the open file."""
        self.is_written = False
        self._path = path
        self._descriptor = descriptor

    def write(self, secret: str) -> None:
        """Writes the secret, and a line break.

        Raises:
            CommandError: if it cannot be written. The text does not contain the secret.
        """
        try:
            os.write(self._descriptor, f"{secret}\n".encode())
            os.fsync(self._descriptor)
        except OSError as error:
            raise CommandError(
                f"cannot write the secret to {self._path} ({error.strerror}), and it cannot be shown again; "
                "`roadstead admin robots refresh` makes another one"
            ) from error
        self.is_written = True


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError(
            "there is no terminal to ask for the password; `roadstead admin login` takes --password-file, "
            "--password-stdin and --password-variable",
            2,
        )
    return _not_empty(getpass.getpass(prompt), "no password was typed")


def _line_of_stdin() -> str:
    return _not_empty(sys.stdin.readline(_MOST_BYTES).removesuffix("\n"), "standard input has no line with a password")


def _not_empty(password: str, otherwise: str) -> str:
    if not password:
        raise CommandError(otherwise)
    return password
