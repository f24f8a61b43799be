"""TCP ports of 127.0.0.1 that were free a moment ago: whoever binds them must be ready to find them taken."""

import random
import socket
from contextlib import ExitStack

# Below what Linux gives to outgoing connections (32768 and up), so that nothing else takes one of several in a row.
_IN_A_ROW = range(20_000, 32_000, 4)


def free_port() -> int:
    """One port."""
    [port] = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Some ports, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def free_ports_in_a_row(count: int) -> int:
    """The first of some ports with consecutive numbers."""
    while True:
        first = random.choice(_IN_A_ROW)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
