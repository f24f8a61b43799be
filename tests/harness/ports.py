"""TCP ports that were free a moment ago, and that no other test process gets.

Each process holds a lock on a block of ports until it ends: the workers of a run, and other runs on the same machine,
take different blocks. Another program may still take a port, so a test must expect that binding fails.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Below the ports of outgoing connections on Linux (32768 and up), so that no connection takes one.
_FIRST, _END = 20_000, 32_000
_BLOCK_SIZE = 200


class PortBlock:
    """A range of ports that belongs to this process until it ends."""

    def __init__(self, folder: Path, ports: range, block_size: int = _BLOCK_SIZE) -> None:
        """Takes the first free block.

        Args:
            folder: for the locks; made if it does not exist.
            ports: the range that is divided into blocks.
            block_size: the number of ports in a block.

        Raises:
            AssertionError: if all blocks are held.
        """
        folder.mkdir(exist_ok=True)
        for first in range(ports.start, ports.stop, block_size):
            lock = os.open(folder / str(first), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            break
        else:
            raise AssertionError(f"every block of ports is held by a running process: see {folder}")
        # The kernel releases the lock when the process ends, also after a kill.
        self._lock = lock
        self._ports = range(first, first + block_size)
        self._next = first

    def take(self, count: int, host: str = "127.0.0.1") -> int:
        """The first of some ports with consecutive numbers. Ports that were used last are used again last.

        Raises:
            AssertionError: if there are not enough free ports.
        """
        for first in self._starts(count):
            if all(_is_free(port, host) for port in range(first, first + count)):
                self._next = first + count
                return first
        raise AssertionError(f"no {count} ports in a row are free in {self._ports}")

    def close(self) -> None:
        """Releases the block."""
        os.close(self._lock)

    def _starts(self, count: int) -> Iterator[int]:
        last = self._ports.stop - count
        yield from range(self._next, last + 1)
        yield from range(self._ports.start, min(self._next, last + 1))


def free_port(host: str = "127.0.0.1") -> int:
    """One port of an address, IPv4 or IPv6."""
    return _block().take(1, host)


def free_ports(count: int) -> list[int]:
    """Some ports, all different."""
    first = free_ports_in_a_row(count)
    return list(range(first, first + count))


def free_ports_in_a_row(count: int) -> int:
    """The first of some ports with consecutive numbers."""
    return _block().take(count)


@cache
def _block() -> PortBlock:
    # Not tempfile.gettempdir(): a run with another TMPDIR uses the same ports.
    return PortBlock(Path(f"/tmp/roadstead-test-ports-{os.geteuid()}"), range(_FIRST, _END))


def _is_free(port: int, host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True
