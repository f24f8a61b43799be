"""Hypercorn's HTTP/2, with two fixes for which Hypercorn has no setting (hypercorn 0.18)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import h2.events
import h2.exceptions
import h2.settings
import hypercorn.protocol
from hypercorn.protocol.h2 import H2Protocol

_WINDOW_BYTES = 1024 * 1024
"""How much a client may send ahead on one stream, and on the whole connection.

With the protocol's default of 64 KiB, an upload moves 64 KiB for each round trip: 3 MB/s at 20 ms. Data that is not
read stays in the socket, so a larger window costs no memory here.
"""


class LargeWindowHttp2(H2Protocol):
    """Lets uploads use the whole bandwidth, and keeps the connection when a refused body goes on."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Has the signature that Hypercorn calls."""
        super().__init__(*args, **named)
        values: dict[Any, int] = dict(self.connection.local_settings.items())
        values[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = _WINDOW_BYTES
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=values)

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        """Begins the connection, and makes its window as large as that of each stream."""
        await super().initiate(headers, settings)
        self.connection.increment_flow_control_window(_WINDOW_BYTES)
        await self._flush()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        # The events are handled one at a time: each may close a stream that a later one belongs to.
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # This request is answered already. Hypercorn would look up the stream, fail, and close the whole
                # connection. So the data is acknowledged and dropped. A reset would be correct as well, but some
                # clients wait on after one.
                with suppress(h2.exceptions.ProtocolError):
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()


def install() -> None:
    """Makes Hypercorn use this class in this process. Hypercorn has no setting for it."""
    protocols: Any = hypercorn.protocol
    protocols.H2Protocol = LargeWindowHttp2
