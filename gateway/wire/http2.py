"""Hypercorn's HTTP/2, with two things mended that its settings do not reach (seen on hypercorn 0.18)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import h2.events
import h2.exceptions
import h2.settings
import hypercorn.protocol
from hypercorn.protocol.h2 import H2Protocol

_WINDOW_BYTES = 1024 * 1024
"""How much a client may send ahead on one stream, and on all of a connection.

With the protocol's own 64 KiB an upload moves 64 KiB for each round trip: 3 MB/s at 20 ms. What is not taken stays in
the socket all the same, so this costs no memory.
"""


class RoomyHttp2(H2Protocol):
    """Takes uploads at the speed of the line, and survives bodies that go on after they were refused."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """As Hypercorn builds it."""
        super().__init__(*args, **named)
        values: dict[Any, int] = dict(self.connection.local_settings.items())
        values[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = _WINDOW_BYTES
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=values)

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        """Begins the connection, and opens its own window as far as that of each stream."""
        await super().initiate(headers, settings)
        self.connection.increment_flow_control_window(_WINDOW_BYTES)
        await self._flush()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        # One at a time, because each may close a stream of those that follow.
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # Answered already. Hypercorn looks the stream up, fails, and takes the whole connection with it. The
                # rest is swallowed; a reset would be right as well, but there are clients that wait on after one.
                with suppress(h2.exceptions.ProtocolError):
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()


def install() -> None:
    """Has Hypercorn use it in this process: there is no setting for the class."""
    protocols: Any = hypercorn.protocol
    protocols.H2Protocol = RoomyHttp2
