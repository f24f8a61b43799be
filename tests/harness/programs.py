"""Client programs of registries, found on PATH or in .tools/bin.

The message about a missing program says how to install it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_LIMIT_SECONDS = 180


def program(name: str) -> str:
    """The path of a client program; if it is missing, the test is skipped, and fails in CI."""
    search = f"{_ROOT / '.tools' / 'bin'}:{os.environ.get('PATH', '')}"
    found = shutil.which(name, path=search)
    if found is None:
        message = f"{name} is missing: `make tools` as root installs it (Debian packages and Go programs)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


class Client:
    """A client program with a HOME of its own, so that a test does not see the logins of another."""

    def __init__(self, name: str, home: Path) -> None:
        """Finds the program; skips the test if it is missing."""
        self._program = program(name)
        self._environment = {
            "HOME": str(home),
            "DOCKER_CONFIG": str(home / ".docker"),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
            "PATH": os.environ.get("PATH", ""),
            "TMPDIR": str(home),
        }

    def attempt(self, *arguments: str, input_text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Runs the program, whatever its exit code."""
        return subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            input=input_text,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )

    def run(self, *arguments: str, input_text: str | None = None) -> str:
        """Runs the program, and returns what it printed; it must succeed."""
        done = self.attempt(*arguments, input_text=input_text)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> object:
        """Runs the program, and reads what it printed as JSON."""
        return json.loads(self.run(*arguments))
