"""A TCP proxy that can drop the answers of a server."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE_BYTES = 65536


class Wire:
    """Passes connections on to a server, until it is told to drop the answers.

    The client then does not learn what the server has done, as when a server is killed between a commit and its answer.

    Attributes:
        address: "127.0.0.1:PORT", where clients connect.
    """

    def __init__(self, target: str) -> None:
        """Listens. Use `wire_to` to build it."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._losing = threading.Event()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="wire")]
        self._threads[0].start()

    def lose_answers(self) -> None:
        """Drops all answers from now on. The client only sees when the server closes the connection."""
        self._losing.set()

    def close(self) -> None:
        """Ends all connections."""
        # Closing alone would not wake a thread that waits for it.
        for end in [self._listener, *self._ends]:
            _shut(end)
        for thread in self._threads:
            thread.join()
        for end in [self._listener, *self._ends]:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._ends.append(client)
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    _shut(client)
                    continue
                self._ends.append(server)
                for source, sink, answers in ((client, server, False), (server, client, True)):
                    thread = threading.Thread(target=self._pass_on, args=(source, sink, answers), name="wire")
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                if not (answers and self._losing.is_set()):
                    sink.sendall(piece)
        _shut(source)
        _shut(sink)


@contextmanager
def wire_to(target: str) -> Iterator[Wire]:
    """Runs a wire to a server inside the block.

    Args:
        target: "HOST:PORT" of the server.
    """
    wire = Wire(target)
    try:
        yield wire
    finally:
        wire.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
