"""The process of `roadstead up`, with its output and its log."""

import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

START_SECONDS = 90.0
STOP_SECONDS = 60.0
LOG_LINES_SHOWN = 150


class InstallationError(Exception):
    """An installation did not start, or did something wrong. The text has its log."""


class UpProcess:
    """The supervisor's process, and its output.

    Attributes:
        lines: the lines of its standard output so far.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], log_file: Path) -> None:
        """Starts it. Its standard error goes into the log file."""
        self.lines: list[str] = []
        self._log_file = log_file
        self._settled = threading.Event()
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), name="up-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self) -> bool:
        """Waits until it is ready or has ended. Returns whether it is ready."""
        return self._settled.wait(START_SECONDS) and any(line.startswith("ready ") for line in self.lines)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends it the signal, waits until it has ended, and returns its exit code."""
        self._process.send_signal(number)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise InstallationError(f"roadstead up did not stop:\n{self.log()}") from None
        finally:
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()
        return code

    def log(self) -> str:
        """Its output, and the end of its log."""
        return "\n".join([*self.lines, tail(self._log_file)])

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("ready "):
                self._settled.set()
        self._settled.set()


def tail(path: Path) -> str:
    """The last lines of a file; nothing if it does not exist."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
    except FileNotFoundError:
        return ""
