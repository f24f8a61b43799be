"""Asks the gateway whether everything serves."""

import asyncio
import ssl

from ctl.listen import Address

READY_PATH = "/readyz"

# Often enough not to be what a start takes, and seldom enough to leave the cores to those who start.
_ASK_EVERY_SECONDS = 0.1
# While the gateway is not up yet, the question waits in the socket's queue, and is answered when it comes.
_ANSWER_SECONDS = 2.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to call when we listen on all addresses


async def wait_until_ready(address: Address, *, tls: bool) -> None:
    """Returns when `/readyz` answers 200. Asks for as long as it takes."""
    # The gateway is another process, so there is no event to wait for.
    while not await _is_ready(address, tls=tls):  # noqa: ASYNC110
        await asyncio.sleep(_ASK_EVERY_SECONDS)


async def _is_ready(address: Address, *, tls: bool) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await _ask(address, _unverified() if tls else None) == 200
    except (OSError, TimeoutError, ValueError):
        return False


async def _ask(address: Address, context: ssl.SSLContext | None) -> int:
    host = _ANYWHERE.get(address.host, address.host)
    # By hand: an HTTP client would be more memory than the rest of the supervisor.
    reader, writer = await asyncio.open_connection(host, address.port, ssl=context)
    try:
        writer.write(f"GET {READY_PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        status_line = await reader.readline()
        return int(status_line.split()[1]) if status_line.startswith(b"HTTP/1.1 ") else 0
    finally:
        writer.close()


def _unverified() -> ssl.SSLContext:
    """We ask our own socket, whose certificate names the host that clients use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
