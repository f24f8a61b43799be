"""Finds a child that hangs: its process is there, but it answers nothing.

The clients here are written by hand, because gRPC's or an HTTP library would take more memory than the rest of the
supervisor. They only find out whether there is an answer, and do not read what it says.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

Ask = Callable[[], Awaitable[None]]
"""Asks a child for its health, and returns when any answer has come. Raises OSError or EOFError if none can come."""

_LIVENESS_PATH = "/healthz"
_ROUNDS = 6
# After a pause that was this much too long, the supervisor itself did not run: the machine slept, or was overloaded.
_LATE = 2.0

# HTTP/2, RFC 9113. The request is complete, so the server needs nothing more from us.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEADER_BYTES = 9
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 0x1, 0x4
_STREAM = 1
_EMPTY_MESSAGE = bytes(5)  # gRPC's prefix: not compressed, no bytes


async def wait_for_silence(
    ask: Ask,
    silence_seconds: float,
    *,
    clock: Callable[[], float] | None = None,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Returns when a child that listens has answered nothing for some time.

    Time counts only while the supervisor itself runs. Otherwise, after a sleep of the machine, all children would seem
    to have been silent. A child at whose address nobody listens is not silent: it is starting, or ending.

    Args:
        ask: asks the child.
        silence_seconds: how long it must be silent.
        clock: returns monotonic seconds; by default that of the event loop.
        pause: waits some seconds.
    """
    now = clock or asyncio.get_running_loop().time
    every_seconds = silence_seconds / _ROUNDS
    asking = asyncio.ensure_future(ask())
    silent_seconds = 0.0
    try:
        while silent_seconds < silence_seconds:
            started = now()
            await pause(every_seconds)
            elapsed_seconds = now() - started
            if elapsed_seconds > _LATE * every_seconds or (asking.done() and not _is_silent(asking)):
                silent_seconds = 0.0
            else:
                silent_seconds += elapsed_seconds
            if asking.done():
                asking = asyncio.ensure_future(ask())
            # Otherwise the question stays open: an answer that comes late is one, too.
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def ask_rpc(socket: Path) -> None:
    """Asks gRPC's health service. A status is an answer, NOT_SERVING and errors as well.

    Raises:
        OSError: nobody listens, or the connection broke.
        EOFError: the connection was closed.
    """
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _health_check())
        while True:
            header = await reader.readexactly(_FRAME_HEADER_BYTES)
            if int.from_bytes(header[5:9], "big") == _STREAM:
                return
            await reader.readexactly(int.from_bytes(header[:3], "big"))
    finally:
        writer.close()


async def ask_http(socket: Path, *, tls: bool) -> None:
    """Asks a gateway. Any status is an answer.

    Raises:
        OSError: nobody listens, or the connection broke.
        EOFError: the connection was closed.
    """
    context = unverified() if tls else None
    host = "localhost" if tls else None
    reader, writer = await asyncio.open_unix_connection(socket, ssl=context, server_hostname=host)
    try:
        writer.write(f"GET {_LIVENESS_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        await reader.readexactly(1)
    finally:
        writer.close()


async def ask_valkey(socket: Path) -> None:
    """Asks Valkey.

    Raises:
        OSError: nobody listens, or the connection broke.
        EOFError: the connection was closed.
    """
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(b"PING\r\n")
        await reader.readexactly(1)
    finally:
        writer.close()


def unverified() -> ssl.SSLContext:
    """Does not verify: the socket is our own, and its certificate names the host that clients use, not this address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_silent(asking: asyncio.Future[None]) -> bool:
    """Whether a question that has ended got no answer from somebody who listens."""
    # The kernel accepts connections for a process that is stopped. It refuses them when the process has closed its
    # socket.
    error = asking.exception()
    return error is not None and not isinstance(error, FileNotFoundError | ConnectionRefusedError)


def _health_check() -> bytes:
    """The frames of a call of grpc.health.v1.Health/Check with an empty request."""
    # HPACK, RFC 7541: 0x83 and 0x86 are entries of the static table, the others are literals that change no table.
    block = (
        b"\x83\x86"  # :method POST, :scheme http
        + (b"\x04" + _text(b"/grpc.health.v1.Health/Check"))  # :path
        + (b"\x01" + _text(b"localhost"))  # :authority
        + (b"\x0f\x10" + _text(b"application/grpc"))  # content-type
        + (b"\x00" + _text(b"te") + _text(b"trailers"))
    )
    return _frame(_HEADERS, _END_HEADERS, _STREAM, block) + _frame(_DATA, _END_STREAM, _STREAM, _EMPTY_MESSAGE)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    return bytes((len(value),)) + value
