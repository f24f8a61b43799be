"""Client programs of registries, found on PATH or in .tools/bin.

The message about a missing program says how to install it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

_ROOT = Path(__file__).parents[2]
_LIMIT_SECONDS = 180


def program(name: str, *, first: str = "") -> str:
    """The path of a client program; if it is missing, the test is skipped, and fails in CI.

    Args:
        name: its name.
        first: a folder to search before all others.
    """
    search = f"{first}:{_ROOT / '.tools' / 'bin'}:{os.environ.get('PATH', '')}".lstrip(":")
    found = shutil.which(name, path=search)
    if found is None:
        lacks(
            f"{name} is missing: `make tools` as root installs it (Debian packages and Go programs); `make acceptance` "
            "builds BuildKit, cosign and helm"
        )
    return found


def lacks(what: str) -> NoReturn:
    """Skips the test, because this machine lacks something; fails it in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


class Client:
    """A client program with a HOME of its own, so that a test does not see the logins of another."""

    def __init__(self, name: str, home: Path, *, variables: Mapping[str, str] | None = None, first: str = "") -> None:
        """Finds the program; skips the test if it is missing.

        Args:
            name: its name.
            home: its HOME.
            variables: additional variables of its environment.
            first: a folder to search for it before all others.
        """
        self._program = program(name, first=first)
        self._home = home
        self._environment = {
            "HOME": str(home),
            "DOCKER_CONFIG": str(home / ".docker"),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
            "PATH": os.environ.get("PATH", ""),
            "TMPDIR": str(home),
            **(variables or {}),
        }

    def attempt(
        self, *arguments: str, input_text: str | None = None, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the program, whatever its exit code. `variables` are added to its environment."""
        return subprocess.run(
            [self._program, *arguments],
            env={**self._environment, **variables},
            input=input_text,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )

    def shell(
        self, lines: str, folder: Path, *, typed: str | None = None, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs shell lines, in which the program goes by its name. The first that fails ends them.

        Args:
            lines: for bash.
            folder: the working folder.
            typed: what a person types on a terminal; without it, there is no terminal and nothing to read.
            variables: added to the environment.
        """
        path = f"{Path(self._program).parent}:{self._environment['PATH']}"
        with ExitStack() as stack:
            terminal = subprocess.DEVNULL
            if typed is not None:
                keyboard, terminal = os.openpty()
                stack.callback(os.close, keyboard)
                stack.callback(os.close, terminal)
                os.write(keyboard, f"{typed}\n".encode())
            return subprocess.run(
                ["bash", "-euo", "pipefail", "-c", lines],
                cwd=folder,
                env={**self._environment, "PATH": path, **variables},
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=_LIMIT_SECONDS,
                check=False,
            )

    def write(self, path: str, content: str) -> None:
        """Writes a file of its HOME, with a login in it: "auth.json"."""
        file = self._home / path
        file.parent.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(content)

    def run(self, *arguments: str, input_text: str | None = None, **variables: str) -> str:
        """Runs the program, and returns what it printed; it must succeed."""
        done = self.attempt(*arguments, input_text=input_text, **variables)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> object:
        """Runs the program, and reads what it printed as JSON."""
        return json.loads(self.run(*arguments))
