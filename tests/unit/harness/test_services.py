import socket
import time

import grpc

from tests.harness.services import open_channel

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


def _address(listening: socket.socket) -> str:
    return f"127.0.0.1:{listening.getsockname()[1]}"
