"""A real PostgreSQL for the length of a test session, and a new database for each test.

The workers of a run share a server. It belongs to the process that began the run, because that lives longer than every
worker. The server is started when the first worker needs it. Without workers it belongs to the session.
"""

import os
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.harness.postgres_server import PostgresServer, PostgresStartError, running_server

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_WORKER_INPUT = "roadstead_postgres_desk"


class Desk:
    """Gives the workers of a run the server that they share."""

    def __init__(self) -> None:
        """Starts to answer workers."""
        self._folder = tempfile.TemporaryDirectory(prefix="rs-desk-", dir="/tmp")
        self.address = f"{self._folder.name}/desk"
        self._server = _DeskServer(self.address, _Question)
        # The server ends with the thread that starts it. So one thread answers all workers, not one for each request.
        self._thread = threading.Thread(target=self._server.run, name="postgres-desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the server, and stops answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._folder.cleanup()


def ask(address: str) -> PostgresServer:
    """Asks a desk for the server. The first request starts it.

    Raises:
        PostgresStartError: if it does not start.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        with connection.makefile() as answer:
            text = answer.read()
    if not text.isdecimal():
        raise PostgresStartError(text)
    return PostgresServer(int(text))


class _DeskServer(socketserver.UnixStreamServer):
    def run(self) -> None:
        with ExitStack() as self._stack:
            self.serve_forever(poll_interval=0.1)

    @cached_property
    def port(self) -> int:
        return self._stack.enter_context(running_server()).port


class _Question(socketserver.StreamRequestHandler):
    server: _DeskServer

    def handle(self) -> None:
        try:
            answer = str(self.server.port)
        except Exception as error:
            # The worker gets the error and fails.
            answer = f"{type(error).__name__}: {error}"
        self.wfile.write(answer.encode())


_desk = pytest.StashKey[Desk]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    """Tells each worker where to ask. pytest-xdist calls this in the process that begins the run."""
    stash = node.config.stash
    if _desk not in stash:
        stash[_desk] = Desk()
        node.config.add_cleanup(stash[_desk].close)
    node.workerinput[_WORKER_INPUT] = stash[_desk].address


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL of this run's own, started when the first test asks and stopped at the end."""
    desk: str | None = getattr(request.config, "workerinput", {}).get(_WORKER_INPUT)
    if desk is not None:
        yield ask(desk)
        return
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> Callable[[str], str]:
    """A function that creates the database named and returns its `postgresql+psycopg://` URL; the name must be new."""
    return postgres_server.create_database


_database_numbers = count(1)


@contextmanager
def numbered_database(server: PostgresServer, template: str = "template0") -> Iterator[str]:
    """The URL of a database for one test, dropped after it."""
    # With the process id, because other workers number their databases too.
    name = f"test_{os.getpid()}_{next(_database_numbers)}"
    try:
        yield server.create_database(name, template)
    finally:
        server.drop_database(name)


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database for one test, dropped after it. It serves async tests as well as others."""
    with numbered_database(postgres_server) as url:
        yield url
