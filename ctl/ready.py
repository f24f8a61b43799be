"""Asks the gateway whether all services are ready."""

import asyncio
import ssl

from ctl.listen import Address
from ctl.liveness import unverified

READY_PATH = "/readyz"

# A longer interval would delay the ready line. A shorter one would take CPU time from the services that start.
_POLL_SECONDS = 0.1
# Until the gateway is up, the request waits in the queue of the socket.
_TIMEOUT_SECONDS = 2.0
_LOOPBACK_FOR_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address to call when we listen on all


async def wait_until_ready(address: Address, *, tls: bool) -> None:
    """Returns when `/readyz` answers 200. There is no time limit."""
    # The gateway is another process, so there is no event to wait for.
    while not await _is_ready(address, tls=tls):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


async def _is_ready(address: Address, *, tls: bool) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await _ask(address, unverified() if tls else None) == 200
    except (OSError, TimeoutError, ValueError):
        return False


async def _ask(address: Address, context: ssl.SSLContext | None) -> int:
    host = _LOOPBACK_FOR_ALL.get(address.host, address.host)
    # Written by hand, because an HTTP client library would take more memory than the rest of the supervisor.
    reader, writer = await asyncio.open_connection(host, address.port, ssl=context)
    try:
        writer.write(f"GET {READY_PATH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        status_line = await reader.readline()
        return int(status_line.split()[1]) if status_line.startswith(b"HTTP/1.1 ") else 0
    finally:
        writer.close()
