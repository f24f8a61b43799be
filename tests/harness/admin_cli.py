"""Runs `roadstead admin`, each time as a new user with their own home and without a terminal."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from ctl.__main__ import main
from tests.harness.process import environment as process_environment

COMMAND = [sys.executable, "-P", "-m", "ctl", "admin"]
_COMMAND_SECONDS = 120.0


class Result(NamedTuple):
    """What a command has written."""

    stdout: str
    stderr: str


def run_process(*arguments: str | Path) -> Result:
    """Runs `roadstead admin` in a process of its own, with the home of the tests. It must end well.

    Args:
        arguments: after `roadstead admin`.
    """
    ended = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return Result(ended.stdout, ended.stderr)


@dataclass(frozen=True)
class Admin:
    """The command, for one installation. It runs in this process, because a new one takes ten times as long.

    Attributes:
        home: the folder of its profiles, and where it runs.
        where: the arguments that name the installation.
        seen: all that it has written, for tests that look for secrets.
    """

    home: Path
    where: Sequence[str] = ()
    seen: list[str] = field(default_factory=list)

    def run(self, *arguments: str | Path, stdin: str = "", status: int = 0, **variables: str) -> Result:
        """Runs a command, and checks its exit status.

        Args:
            arguments: after `roadstead admin`, without those that name the installation.
            stdin: what it reads.
            status: what it must end with.
            variables: of its environment.
        """
        return self.run_bare(*arguments, *self.where, stdin=stdin, status=status, **variables)

    def run_bare(self, *arguments: str | Path, stdin: str = "", status: int = 0, **variables: str) -> Result:
        """Runs a command that names no installation, or another one."""
        # As those of a process: with bytes below, and no terminal.
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with (
            patch.dict(os.environ, self.environment(variables), clear=True),
            patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
            chdir(self.home),
        ):
            ended = _status(["admin", *map(str, arguments)])
        result = Result(_written(out), _written(err))
        self.seen.extend(result)
        assert ended == status, f"{arguments}: {ended}\n{result.stdout}\n{result.stderr}"
        return result

    @contextmanager
    def process(self, *arguments: str | Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
        """Runs a command in a process of its own, and ends it with the block."""
        with subprocess.Popen(
            [*COMMAND, *map(str, arguments), *self.where],
            env=self.environment(variables),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *arguments: str | Path, stdin: str = "") -> Any:
        """Runs a command with --json, and returns what it prints."""
        return json.loads(self.run(*arguments, "--json", stdin=stdin).stdout)

    def table(self, *arguments: str | Path) -> list[list[str]]:
        """Runs a command, and returns the words in each line that it prints."""
        return [line.split() for line in self.run(*arguments).stdout.splitlines()]

    def refused(self, *arguments: str | Path, stdin: str = "", status: int = 1) -> str:
        """Runs a command that fails and prints no result, and returns what it says."""
        result = self.run(*arguments, stdin=stdin, status=status)
        assert result.stdout == ""
        return result.stderr

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables of its process. Proxies of the machine that runs the tests are not meant."""
        inherited = {
            name: value for name, value in process_environment().items() if not name.lower().endswith("_proxy")
        }
        home = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"), "COLUMNS": "100"}
        return {**inherited, **home, **variables}


def _status(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:  # argparse ends the program itself
        return end.code if isinstance(end.code, int) else 1


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
