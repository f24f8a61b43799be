"""A Valkey server for one test: that of `roadstead up`, on a unix socket or with other options."""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ctl.valkey import arguments
from tests.harness.waiting import wait_until


class Valkey:
    """A server that the test starts, kills and starts again.

    Attributes:
        socket: its unix socket.
        url: the setting `redis_url` for that.
    """

    def __init__(self, folder: Path, *options: str, configuration: Sequence[str] = ()) -> None:
        """Starts nothing yet.

        Args:
            folder: for its socket; must have a short path.
            options: more of its command line, such as "--requirepass".
            configuration: lines of a configuration file; none for no file.
        """
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        program, *common = arguments(self.socket)
        self._command = [program, *common, *options]
        if configuration:
            # Sentinels write into their file.
            file = folder / "valkey.conf"
            file.write_text("\n".join(configuration) + "\n", encoding="utf-8")
            self._command = [program, str(file), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Valkey to answer", failure=self._process.poll)

    def kill(self) -> None:
        """Kills it with SIGKILL. Its socket stays, as after a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def send(self, *command: str) -> bytes:
        """Sends one command, and returns the first bytes of its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(os.fspath(self.socket))
            parts = "".join(f"${len(part)}\r\n{part}\r\n" for part in command)
            connection.sendall(f"*{len(command)}\r\n{parts}".encode())
            return connection.recv(65536)

    def _answers(self) -> bool:
        try:
            return self.send("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def running_valkey(folder: Path, *options: str, configuration: Sequence[str] = ()) -> Iterator[Valkey]:
    """A server that answers, inside the block."""
    valkey = Valkey(folder, *options, configuration=configuration)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.kill()
