"""Where an installation is, and as whom we log in there: this machine's `roadstead up`, or a profile."""

import ssl
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from ctl.admin.profile import Profile
from ctl.data_dir import DataDir
from ctl.errors import CommandError
from ctl.liveness import unverified

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and as whom.

    Attributes:
        name: for messages: the URL, or the data directory.
        url: of the gateway.
        user: who logs in.
        password: of the user.
        wrong_password: what to do if it is refused.
        tls: how the server proves who it is; None without TLS.
        socket: the unix socket to connect to; None for the host in the URL.
    """

    name: str
    url: str
    user: str
    password: str = field(repr=False)
    wrong_password: str
    tls: ssl.SSLContext | None = None
    socket: Path | None = None


def local_target(data_dir: DataDir) -> Target:
    """The installation in a data directory, over the socket of its gateway, as the user admin.

    The folder of the socket is for its owner only, so nobody else can listen there, and no certificate has to prove it.

    Raises:
        CommandError: if it does not run, or the password is not there.
    """
    if data_dir.lock_holder() is None:
        raise CommandError(
            f"`roadstead up` does not run on {data_dir.path}; start it, or name another --data-dir, or a --profile"
        )
    sockets = sorted(data_dir.sockets.resolve().glob("gateway*.sock"))
    if not sockets:
        raise CommandError(f"the gateway in {data_dir.path} is not up yet; try again in a moment")
    tls = _serves_tls(data_dir)
    return Target(
        name=f"the installation in {data_dir.path}",
        url=f"{'https' if tls else 'http'}://localhost",
        user=ADMIN,
        password=saved_password(data_dir),
        wrong_password=(
            f"{data_dir.password_file} does not hold the password of {ADMIN} any more; write the right one into it, "
            "or log in with `roadstead admin login`"
        ),
        tls=unverified() if tls else None,
        socket=sockets[0],
    )


def remote_target(profile: Profile) -> Target:
    """The installation of a profile. Its password is read, or asked for.

    Raises:
        CommandError: if there is no password, or the certificates cannot be read.
    """
    return Target(
        name=profile.url,
        url=profile.url,
        user=profile.user,
        password=profile.password.read(f"Password of {profile.user} at {profile.url}: "),
        wrong_password=(
            f"look at the user, and where the password comes from: {profile.password}; "
            f"`roadstead admin login {profile.name}` changes both"
        ),
        tls=_context(profile) if profile.url.startswith("https:") else None,
    )


def saved_password(data_dir: DataDir) -> str:
    """The password of the user admin that a data directory holds.

    Raises:
        CommandError: if it holds none.
    """
    try:
        return data_dir.password_file.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise CommandError(f"cannot read {data_dir.password_file}: {error.strerror}") from error


def _context(profile: Profile) -> ssl.SSLContext:
    if profile.insecure:
        return unverified()
    try:
        return ssl.create_default_context(cafile=profile.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"cannot read the certificates in {profile.ca_file}: {error.strerror or error}") from error


def _serves_tls(data_dir: DataDir) -> bool:
    try:
        sections = tomllib.loads(data_dir.config_file.read_text(encoding="utf-8"))
        return "tls_certificate_file" in sections["gateway"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"cannot read {data_dir.config_file}: {error}") from error
