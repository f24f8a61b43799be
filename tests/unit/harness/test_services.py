import socket
import time
from pathlib import Path

import grpc
import pytest

from tests.harness.services import START_SECONDS, open_channel, running_services
from tests.harness.waiting import WaitTimeoutError

# How long a service on a busy machine does not greet. The delay is what this test is about.
BUSY_SECONDS = 0.5
GREETING = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""An empty SETTINGS frame (RFC 9113, section 6.5): the first thing that a server sends."""


def test_a_channel_waits_for_a_service_that_accepts_late() -> None:
    # The system completes connections at once, and the greeting of HTTP/2 stays unanswered.
    with socket.create_server(("127.0.0.1", 0)) as service, open_channel(_address(service)) as channel:
        ready = grpc.channel_ready_future(channel)
        time.sleep(BUSY_SECONDS)
        first, _ = service.accept()
        with first:
            first.sendall(GREETING)
            # A second attempt would wait for its greeting in vain.
            ready.result(timeout=10)


@pytest.mark.parametrize("name", ["authsvc", "gateway"])
def test_a_service_that_ends_is_not_waited_for(tmp_path: Path, name: str) -> None:
    began = time.monotonic()
    variables = {f"ROADSTEAD_{name.upper()}_NO_SUCH_SETTING": "1"}
    with pytest.raises(WaitTimeoutError) as failed, running_services(tmp_path / "data", variables):
        pass
    assert f"it cannot come any more: {{'{name}': 78}}" in str(failed.value)
    assert "no_such_setting" in str(failed.value).lower()
    assert time.monotonic() - began < START_SECONDS


def _address(listening: socket.socket) -> str:
    return f"127.0.0.1:{listening.getsockname()[1]}"
