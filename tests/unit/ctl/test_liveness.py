"""A child that answers is left alone, and one that has become silent is found."""

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from ctl.liveness import ask_http, ask_rpc, wait_for_silence
from ctl.supervisor import Supervisor
from svckit.rpc.health import Health
from tests.unit.ctl.children import program
from tests.unit.ctl.conftest import LONGEST_SECONDS, ReadableConsole

SILENCE_SECONDS = 30.0


class Timeline:
    """A clock that moves by the pauses, and by sleeps of the machine; and a child that answers, or does not."""

    def __init__(self, script: str) -> None:
        """Takes what happens at each question: `.` answer, `-` silence, `x` nobody listens, `!` broken connection."""
        self.script = list(script)
        self.seconds = 0.0
        self.sleeps: dict[int, float] = {}
        self.pauses = 0
        self._never = asyncio.Event()

    def clock(self) -> float:
        return self.seconds

    async def pause(self, seconds: float) -> None:
        self.seconds += seconds + self.sleeps.get(self.pauses, 0.0)
        self.pauses += 1
        # The question gets its turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self.pauses > 100:
            raise TimeoutError

    async def ask(self) -> None:
        match self.script.pop(0) if self.script else "-":
            case "-":
                await self._never.wait()
            case "x":
                raise FileNotFoundError
            case "!":
                raise EOFError

    async def seconds_until_silence(self) -> float | None:
        """When the silence is noticed; None for never."""
        try:
            await wait_for_silence(self.ask, SILENCE_SECONDS, clock=self.clock, pause=self.pause)
        except TimeoutError:
            return None
        return self.seconds


async def test_silence_after_an_answer_is_noticed_in_its_time() -> None:
    assert await Timeline("...").seconds_until_silence() == pytest.approx(3 * 5 + SILENCE_SECONDS)


async def test_a_child_that_does_not_listen_yet_is_starting() -> None:
    assert await Timeline("x" * 200).seconds_until_silence() is None


async def test_a_child_that_hangs_before_its_first_answer_is_noticed() -> None:
    assert await Timeline("xx").seconds_until_silence() == pytest.approx(2 * 5 + SILENCE_SECONDS)


async def test_broken_connections_are_silence() -> None:
    assert await Timeline("." + "!" * 90).seconds_until_silence() == pytest.approx(5 + SILENCE_SECONDS)


async def test_a_child_that_has_closed_its_socket_is_ending() -> None:
    assert await Timeline("." + "x" * 200).seconds_until_silence() is None


async def test_an_answer_begins_the_time_anew() -> None:
    assert await Timeline(".!!!!.").seconds_until_silence() == pytest.approx(6 * 5 + SILENCE_SECONDS)


async def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    timeline = Timeline(".")
    timeline.sleeps[4] = 3600.0

    # It was silent for four rounds before the sleep. All of that is forgotten.
    assert await timeline.seconds_until_silence() == pytest.approx(5 * 5 + 3600.0 + SILENCE_SECONDS)


async def test_any_status_of_the_health_service_is_an_answer(tmp_path: Path) -> None:
    socket = tmp_path / "health.sock"
    server = grpc.aio.server()
    health = Health(["roadstead.toy.v1.Toy"])  # NOT_SERVING until it is told otherwise
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        await asyncio.wait_for(ask_rpc(socket), LONGEST_SECONDS)
    finally:
        await server.stop(None)


async def test_a_server_without_the_health_service_answers_too(tmp_path: Path) -> None:
    socket = tmp_path / "none.sock"
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        await asyncio.wait_for(ask_rpc(socket), LONGEST_SECONDS)
    finally:
        await server.stop(None)


async def test_any_status_of_http_is_an_answer_and_an_end_is_none(tmp_path: Path) -> None:
    answers = [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b""]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "http.sock"):
        await ask_http(tmp_path / "http.sock", tls=False)
        with pytest.raises(EOFError):
            await ask_http(tmp_path / "http.sock", tls=False)


async def test_a_child_that_is_stopped_is_killed_and_started_again(
    supervise: Callable[..., Supervisor], console: ReadableConsole, tmp_path: Path
) -> None:
    socket = tmp_path / "child.sock"
    serving = f"""
        import os, socketserver
        class Answer(socketserver.StreamRequestHandler):
            def handle(self):
                self.rfile.readline()
                self.wfile.write(b"HTTP/1.1 200 OK")
                print("asked", flush=True)
        if os.path.exists({str(socket)!r}):
            os.unlink({str(socket)!r})
        socketserver.UnixStreamServer({str(socket)!r}, Answer).serve_forever()
    """
    supervisor = supervise(program("server", serving, ask=partial(ask_http, socket, tls=False)), hang_seconds=0.6)
    await console.wait_for("asked", count=2)
    first = supervisor.pids["server"]

    os.kill(first, signal.SIGSTOP)
    log = await console.wait_for("ended by SIGKILL")

    assert "killed: it hangs child=server silent_seconds=0.6" in log
    await console.wait_for("asked", count=console.text().count("asked") + 1)
    assert supervisor.pids["server"] != first
