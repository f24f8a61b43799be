"""`roadstead serve` runs one service by a settings file, as production does."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

COMMAND = [sys.executable, "-P", "-m", "ctl", "serve"]
START_SECONDS = 60.0


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def config(tmp_path: Path, sockets: Path) -> Path:
    """Settings of a blobsvc, in a file for all services."""
    file = tmp_path / "roadstead.toml"
    file.write_text(
        f"""
        [common]
        trust_dir = "{tmp_path}/trust"

        [gateway]
        workers_of_some_later_version = 3

        [blobsvc]
        rpc = {{ listen = ["unix:{sockets}/blob.sock"] }}
        key_file = "{tmp_path}/blobsvc.pem"
        data_dir = "{tmp_path}/blobs"
        """
    )
    return file


def test_a_service_serves_and_stops_on_sigterm(config: Path, sockets: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "blobsvc", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            with grpc.insecure_channel(f"unix:{sockets}/blob.sock") as channel:
                stub: Any = health_pb2_grpc.HealthStub(channel)  # its types know the asynchronous methods only
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=START_SECONDS, wait_for_ready=True)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        finally:
            process.terminate()
        output, _ = process.communicate(timeout=START_SECONDS)

    assert process.returncode == 0, output


def test_a_wrong_setting_is_refused_with_its_name_and_value(config: Path) -> None:
    config.write_text(config.read_text() + 'log_level = "loud"\n')

    result = subprocess.run(
        [*COMMAND, "blobsvc", "--config", config], capture_output=True, text=True, check=False, timeout=START_SECONDS
    )

    assert result.returncode == 78
    assert (
        f"blobsvc.log_level: 'loud' (from {config}) is refused: allowed: debug, info, warning, error" in result.stderr
    )


def test_a_service_that_there_is_not_is_refused_with_those_there_are() -> None:
    result = subprocess.run([*COMMAND, "mailsvc"], capture_output=True, text=True, check=False, timeout=START_SECONDS)

    assert result.returncode == 2
    assert "mailsvc" in result.stderr
    assert "gateway" in result.stderr
