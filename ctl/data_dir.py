"""The data directory of `roadstead up`: its lock, the version of its layout, and the paths in it."""

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ctl.errors import CommandError
from svckit.durable import create_file, replace_file, temporary_name, write_process_id

FORMAT = 1
"""The version of the layout that this program writes. Raise it when an older program could damage the new layout."""

_LONGEST_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), without its zero
_LONGEST_SOCKET_NAME_BYTES = len("/gateway-64.sock")
_SOCKET_FOLDER_PREFIX = "rs-"
# A folder with only these entries counts as empty: our own lock, and an entry that file systems make.
_IGNORED_ENTRIES = {"lock", "lost+found"}


@dataclass(frozen=True)
class DataDir:
    """A data directory, and the paths in it."""

    path: Path

    @classmethod
    def default(cls) -> "DataDir":
        """`roadstead` in the user's data folder (XDG base directory specification)."""
        home = os.environ.get("XDG_DATA_HOME", "")
        # The specification says that relative paths are ignored.
        folder = Path(home) if home.startswith("/") else Path.home() / ".local" / "share"
        return cls(folder / "roadstead")

    @property
    def lock_file(self) -> Path:
        """Locked by the running `roadstead up`. Holds its process id."""
        return self.path / "lock"

    @property
    def format_file(self) -> Path:
        """Holds the version of the layout."""
        return self.path / "format"

    @property
    def password_file(self) -> Path:
        """Holds the password of the user admin, as set at the first start or by `roadstead admin set-password`."""
        return self.path / "admin-password"

    @property
    def established_file(self) -> Path:
        """Says which databases and blob folder this installation has (see ctl.established)."""
        return self.path / "established.json"

    @property
    def reserve_file(self) -> Path:
        """Space that is kept for a start on a full disk (see ctl.reserve)."""
        return self.path / "reserve"

    @property
    def config_file(self) -> Path:
        """The settings that `roadstead up` gave to the services, all in one file."""
        return self.path / "config" / "services.toml"

    @property
    def trust(self) -> Path:
        """The trust bundle: the folder of public keys."""
        return self.path / "trust"

    @property
    def sockets(self) -> Path:
        """A symbolic link to the folder of the unix sockets, while `roadstead up` runs."""
        return self.path / "run"

    def key_file(self, service: str) -> Path:
        """The key pair of a service."""
        return self.path / "keys" / f"{service}.pem"

    def service_dir(self, service: str) -> Path:
        """The folder with the data of a service."""
        return self.path / service

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Makes the directory if it does not exist, and holds its lock inside the `with` block.

        Raises:
            CommandError: if another `roadstead up` holds the lock, a newer program wrote the layout, the directory
                holds other files, or it cannot be used.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The children do not inherit the descriptor. So the lock is free as soon as the supervisor has ended.
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CommandError(f"cannot use the data directory {self.path}: {error.strerror}") from error
        try:
            self._lock(descriptor)
            self._remove_unfinished()
            self._check_format()
            yield
        finally:
            os.close(descriptor)

    def lock_holder(self) -> int | None:
        """The process id of the `roadstead up` that runs on this directory, or None."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _number(os.read(descriptor, 32))
        finally:
            os.close(descriptor)
        return None

    def admin_password(self) -> tuple[str, bool]:
        """The password of the user admin, and whether it was generated just now.

        The first call takes it from `ROADSTEAD_ADMIN_PASSWORD`, or generates it, and saves it. If that start ends
        before authsvc has created the user, the next start uses the same password.
        """
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\n"), False
        except FileNotFoundError:
            pass
        given = os.environ.get("ROADSTEAD_ADMIN_PASSWORD", "")
        password = given or _random_password()
        create_file(self.password_file, f"{password}\n".encode(), mode=0o600)
        return password, not given

    def save_admin_password(self, password: str) -> None:
        """Saves the new password of the user admin."""
        replace_file(self.password_file, f"{password}\n".encode(), mode=0o600)

    @contextmanager
    def socket_folder(self) -> Iterator[Path]:
        """Makes a private folder for unix sockets on a short path, and removes it at the end.

        The data directory cannot hold the sockets: its path may be too long, or its file system may not
        support sockets.
        """
        self._remove_old_sockets()
        folder = _make_socket_folder()
        try:
            self.sockets.symlink_to(folder)
            yield folder
        finally:
            with suppress(OSError):  # such as a disk that has become read-only
                self.sockets.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    def _remove_old_sockets(self) -> None:
        """Removes the sockets of a supervisor that was killed. Called only under the lock."""
        try:
            folder = self.sockets.readlink()
            status = os.lstat(folder)
        except OSError:
            self.sockets.unlink(missing_ok=True)
            return
        self.sockets.unlink()
        # Other users may write to /tmp, so this removes only a folder of ours with our prefix.
        ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if ours and folder.name.startswith(_SOCKET_FOLDER_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _number(os.read(descriptor, 32))
            whose = f"process {pid}" if pid is not None else "another process"
            raise CommandError(
                f"{whose} runs `roadstead up` on {self.path} already; stop it, or choose another --data-dir"
            ) from None
        write_process_id(descriptor)

    def _remove_unfinished(self) -> None:
        """Removes the files of writes that a kill has interrupted. Called only under the lock.

        One of them may be the first file of all. Then the directory would not be taken for ours.
        """
        for file in (self.format_file, self.password_file, self.established_file):
            for unfinished in self.path.glob(temporary_name(file, "*")):
                unfinished.unlink(missing_ok=True)

    def _check_format(self) -> None:
        try:
            text = self.format_file.read_bytes()
        except FileNotFoundError:
            if {entry.name for entry in self.path.iterdir()} - _IGNORED_ENTRIES:
                raise CommandError(
                    f"{self.path} is not empty and is not a data directory of Roadstead; choose an empty --data-dir"
                ) from None
            create_file(self.format_file, f"{FORMAT}\n".encode(), mode=0o600)
            return
        number = _number(text)
        if number is None:
            raise CommandError(f"{self.format_file} does not hold the number of a format")
        if number > FORMAT:
            raise CommandError(
                f"{self.path} was written by a newer Roadstead (format {number}; this one knows {FORMAT}): upgrade it"
            )


def _number(text: bytes) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _random_password() -> str:
    # The prefix meets the rule for passwords (upper-case letter, lower-case letter, digit). The rest is 128 bits.
    return f"Rs1{secrets.token_urlsafe(16)}"


def _make_socket_folder() -> Path:
    # The last one is in memory. It helps when the disk of the others is full.
    candidates = [os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", tempfile.gettempdir(), "/dev/shm"]  # noqa: S108 - mkdtemp makes it 0700
    problems: list[str] = []
    for candidate in candidates:
        if not candidate.startswith("/"):
            continue
        try:
            folder = tempfile.mkdtemp(prefix=_SOCKET_FOLDER_PREFIX, dir=candidate)
        except OSError as error:
            problems.append(f"{candidate}: {error.strerror}")
            continue
        if len(os.fsencode(folder)) + _LONGEST_SOCKET_NAME_BYTES <= _LONGEST_SOCKET_PATH_BYTES:
            return Path(folder)
        problems.append(f"{candidate}: its path is too long")
        os.rmdir(folder)  # noqa: PTH106
    raise CommandError(
        f"no folder can hold the unix sockets ({'; '.join(problems)}); set XDG_RUNTIME_DIR to one with a short path"
    )
