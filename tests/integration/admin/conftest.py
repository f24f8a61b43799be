"""`roadstead admin` against an installation of this machine, and against remote ones, plain and with TLS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.certificates import Authority
from tests.harness.installation import Installation, running_installation


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no machine trusts."""
    return Authority(tmp_path_factory.mktemp("authority") / "own")


@pytest.fixture(scope="session")
def tls_installation(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that speaks TLS. Leave it running."""
    issued = authority.issue()
    variables = {
        "ROADSTEAD_GATEWAY_TLS_CERTIFICATE_FILE": str(issued.certificate),
        "ROADSTEAD_GATEWAY_TLS_KEY_FILE": str(issued.key),
    }
    folder = tmp_path_factory.mktemp("tls")
    with running_installation(folder / "data", environment=variables, grpc=False) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the operator."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def log_in(home: Path, installation: Installation, *arguments: str | Path) -> Admin:
    """Logs in as admin with a profile that reads the password from a file."""
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(f"{installation.admin_password}\n")
    admin = Admin(home, ("--profile", "there"))
    admin.run_bare(
        "login",
        "there",
        *("--url", installation.http_url, "--user", "admin", "--password-file", password_file),
        *arguments,
    )
    return admin


@pytest.fixture(params=["local", "local, TLS", "remote", "remote, TLS"])
def place(request: pytest.FixtureRequest) -> str:
    """How an installation is reached."""
    return str(request.param)


@pytest.fixture
def reached(place: str, request: pytest.FixtureRequest) -> Installation:
    """The installation that `admin` is about."""
    name = "tls_installation" if place.endswith("TLS") else "installation"
    found: Installation = request.getfixturevalue(name)
    return found


@pytest.fixture
def admin(place: str, reached: Installation, home: Path, authority: Authority) -> Admin:
    """The command, as the user admin, in each way to reach an installation."""
    if place.startswith("local"):
        return Admin(home, ("--data-dir", str(reached.data_dir)))
    return log_in(home, reached, *(("--ca-file", authority.ca) if place.endswith("TLS") else ()))


@pytest.fixture
def local(home: Path, installation: Installation) -> Admin:
    """The command, as the user admin, on this machine."""
    return Admin(home, ("--data-dir", str(installation.data_dir)))


@pytest.fixture
def bare(home: Path) -> Admin:
    """The command of somebody who has no installation on this machine."""
    return Admin(home)
