"""authsvc as a process of its own."""

import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from roadstead.auth.v1 import refresh_token_service_pb2
from roadstead.auth.v1 import token_service_pb2 as pb
from roadstead.auth.v1.refresh_token_service_pb2_grpc import RefreshTokenServiceStub
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
from svckit.rpc import open_channel
from tests.harness.authsvc import ADMIN_PASSWORD, credentials
from tests.harness.process import environment
from tests.harness.waiting import wait_until

START_SECONDS = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rs-auth-", dir="/tmp") as name:
        yield Path(name)


def configure(folder: Path, *lines: str) -> Path:
    path = folder / "roadstead.toml"
    text = [
        "[common]",
        f'trust_dir = "{folder}/trust"',
        "[authsvc]",
        f'rpc = {{ listen = ["unix:{folder}/auth.sock"], drain_seconds = 1 }}',
        f'key_file = "{folder}/authsvc.pem"',
        f'database_url = "sqlite:///{folder}/auth.db"',
        *lines,
    ]
    path.write_text("\n".join(text) + "\n")
    return path


def start(config: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "authsvc", "--config", str(config)],
        env=environment(variables),
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(config: Path, **variables: str) -> Iterator[None]:
    """Runs authsvc inside the block."""
    process = start(config, **variables)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0


async def log_in(folder: Path) -> str:
    async with open_channel(f"unix:{folder}/auth.sock", timeout_seconds=START_SECONDS) as channel:
        answer = await TokenServiceStub(channel).CreateIdentityToken(
            pb.CreateIdentityTokenRequest(credentials=credentials("admin", ADMIN_PASSWORD))
        )
    return str(answer.token)


async def test_the_first_start_takes_the_password_from_a_file_and_later_ones_need_none(folder: Path) -> None:
    (folder / "password").write_text(ADMIN_PASSWORD + "\n")
    for lines in ([f'initial_admin_password_file = "{folder}/password"'], []):
        process = start(configure(folder, *lines))
        try:
            assert await log_in(folder)
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=START_SECONDS)
        assert process.returncode == 0
        assert ADMIN_PASSWORD not in errors
        (folder / "password").unlink(missing_ok=True)


@pytest.mark.parametrize(("prefix", "is_taken"), [("adm", True), ("min", False)])
async def test_a_start_says_that_user_names_begin_with_the_prefix_of_robots(
    folder: Path, prefix: str, is_taken: bool
) -> None:
    config = configure(folder, f'configuration.robot_name_prefix = "{prefix}"')
    process = start(config, ROADSTEAD_ADMIN_PASSWORD=ADMIN_PASSWORD)
    try:
        assert await log_in(folder)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=START_SECONDS)
    warned = [line for line in errors.splitlines() if "robot_name_prefix_taken" in line]
    assert len(warned) == is_taken
    assert all("admin" in line and "authsvc.configuration.robot_name_prefix" in line for line in warned)


async def test_it_removes_the_refresh_tokens_that_have_ended(folder: Path) -> None:
    config = configure(folder)
    with running(config, ROADSTEAD_ADMIN_PASSWORD=ADMIN_PASSWORD):
        async with open_channel(f"unix:{folder}/auth.sock", timeout_seconds=START_SECONDS) as channel:
            stub = RefreshTokenServiceStub(channel)
            for client_id in ("ended", "good"):
                await stub.CreateRefreshToken(
                    refresh_token_service_pb2.CreateRefreshTokenRequest(
                        credentials=credentials("admin", ADMIN_PASSWORD), client_id=client_id
                    )
                )
    with closing(sqlite3.connect(folder / "auth.db")) as conn:
        conn.execute("UPDATE refresh_token SET expire_time = create_time WHERE client_id = 'ended'")
        conn.commit()

    def kept() -> list[str]:
        with closing(sqlite3.connect(f"file:{folder}/auth.db?mode=ro", uri=True)) as conn:
            return [row[0] for row in conn.execute("SELECT client_id FROM refresh_token")]

    assert sorted(kept()) == ["ended", "good"]
    with running(config):
        wait_until(kept, "the token that has ended to be removed", wanted=lambda found: found == ["good"])


def test_a_first_start_without_a_password_says_what_is_missing(folder: Path) -> None:
    process = start(configure(folder))
    _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 78
    assert "ROADSTEAD_ADMIN_PASSWORD" in errors
    assert "Traceback" not in errors


def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(folder: Path) -> None:
    process = start(configure(folder, 'configuration.project_creation_restriction = "nobody"'))
    _, errors = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 78
    for word in ("authsvc.configuration.project_creation_restriction", "nobody", "everyone", "adminonly"):
        assert word in errors
