"""Profiles: where a remote installation is, who logs in, and where the password comes from. None holds a secret."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ctl.admin.secret import SecretSource, refuse_open_mode
from ctl.errors import CommandError
from svckit.durable import replace_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX = ".toml"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Profile:
    """A remote installation.

    Attributes:
        name: of the profile.
        url: of the gateway, without a path.
        user: who logs in: a user, or a robot by its full name.
        password: where the password comes from.
        ca_file: the certificates to trust, in PEM; None for those of this machine.
        insecure: whether the server need not prove who it is.
    """

    name: str
    url: str
    user: str
    password: SecretSource
    ca_file: Path | None = None
    insecure: bool = False

    def save(self) -> Path:
        """Writes it to its file, for its owner only, and returns the path.

        Raises:
            CommandError: if it cannot be written.
        """
        values: dict[str, str | bool] = {"url": self.url, "user": self.user, "password": str(self.password)}
        if self.ca_file is not None:
            values["ca_file"] = str(self.ca_file)
        if self.insecure:
            values["insecure"] = True
        lines = ["# Written by `roadstead admin login`. It holds no password.", *map(_assignment, values.items())]
        file = _file(self.name)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(file, ("\n".join(lines) + "\n").encode(), mode=0o600)
        except OSError as error:
            raise CommandError(f"cannot write {file}: {error.strerror}") from error
        return file

    @classmethod
    def load(cls, name: str) -> "Profile":
        """Reads a profile.

        Raises:
            CommandError: if there is none of this name, others could have changed it, or it is damaged.
        """
        file = _file(name)
        try:
            with file.open("rb") as opened:
                refuse_open_mode(file, os.fstat(opened.fileno()))
                document = tomllib.load(opened)
            return cls._of(name, document)
        except FileNotFoundError as error:
            raise CommandError(_unknown(name)) from error
        except OSError as error:
            raise CommandError(f"cannot read {file}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise CommandError(
                f"{file} is damaged ({error}); `roadstead admin login {name}` writes it again"
            ) from error

    @classmethod
    def _of(cls, name: str, document: dict[str, object]) -> "Profile":
        wanted = {"url": str, "user": str, "password": str, "ca_file": str, "insecure": bool}
        for key, value in document.items():
            if key not in wanted:
                raise ValueError(f"{key} is not known")
            if not isinstance(value, wanted[key]):
                raise ValueError(f"{key} is of the wrong type")
        missing = {"url", "user", "password"} - document.keys()
        if missing:
            raise ValueError(f"{min(missing)} is missing")
        ca_file = document.get("ca_file")
        return cls(
            name=name,
            url=checked_url(str(document["url"]), insecure=bool(document.get("insecure"))),
            user=str(document["user"]),
            password=SecretSource.parse(str(document["password"])),
            ca_file=None if ca_file is None else Path(str(ca_file)),
            insecure=bool(document.get("insecure")),
        )


def profile_names() -> Sequence[str]:
    """The names of all profiles, sorted."""
    found = (file.name.removesuffix(_SUFFIX) for file in _folder().glob(f"*{_SUFFIX}"))
    return sorted(filter(_NAME.fullmatch, found))


def remove_profile(name: str) -> None:
    """Removes a profile.

    Raises:
        CommandError: if there is none of this name.
    """
    try:
        _file(name).unlink()
    except FileNotFoundError as error:
        raise CommandError(_unknown(name)) from error
    except OSError as error:
        raise CommandError(f"cannot remove {_file(name)}: {error.strerror}") from error


def checked_url(text: str, *, insecure: bool) -> str:
    """The URL of a gateway, without a slash at its end.

    Raises:
        ValueError: if it is none, or the password would pass a network unencrypted.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError(f"{text!r} is not a URL such as https://registry.example.com")
    if parts.username is not None or parts.password is not None:
        # The text would show the password.
        raise ValueError("the URL must not hold a user or a password; --user names the user")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has more than a host and a port; the paths of the API are known")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not insecure:
        raise ValueError(
            f"{text} would send the password unencrypted; use https, or say --insecure if the network is your own"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _folder() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification says that relative paths are ignored.
    return (Path(home) if home.startswith("/") else Path.home() / ".config") / "roadstead" / "profiles"


def _file(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"{name!r} cannot be the name of a profile: letters, digits, `.`, `_` and `-`, 64 at most", 2
        )
    return _folder() / f"{name}{_SUFFIX}"


def _assignment(item: tuple[str, str | bool]) -> str:
    # JSON of these types is TOML; see ctl.plan.
    return f"{item[0]} = {json.dumps(item[1], ensure_ascii=False)}"


def _unknown(name: str) -> str:
    names = profile_names()
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"there is no profile {name}; did you mean {close[0]}?"
    known = f"there are {', '.join(names)}" if names else "there is none yet"
    return f"there is no profile {name}, {known}; `roadstead admin login {name} --url URL --user USER` makes it"
