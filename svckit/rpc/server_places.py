"""The places of one RPC server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.places import Places, Shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from svckit.places import Refusal
    from svckit.rpc.settings import RpcServerSettings


class ServerPlaces:
    """Places for calls, for streams and for long streams. Each kind is counted apart from the others.

    Every call begins with a place for calls. A stream changes it for one of its own kind, so that slow readers and idle
    watches do not keep short calls out.

    Attributes:
        calls: for calls in flight.
        streams: for uploads, downloads and other streams.
        long_streams: for streams that stay open while nothing happens.
    """

    __slots__ = ("calls", "long_streams", "streams")

    def __init__(self, settings: RpcServerSettings, on_refusal: Callable[[str, Refusal], None]) -> None:
        """Starts with all places free; `on_refusal` counts refusals."""
        most = settings.max_in_flight

        def part(share: float) -> int:
            return max(1, int(most * share))

        calls = Shares(
            most,
            part(settings.in_flight_share_per_caller),
            part(settings.in_flight_share_per_address),
            part(settings.in_flight_share_per_address_without_credentials),
            part(settings.in_flight_share_without_credentials),
        )
        streams = Shares(
            settings.max_streams,
            settings.max_streams_per_caller,
            settings.max_streams_per_address,
            settings.max_streams_per_address_without_credentials,
            settings.max_streams_without_credentials,
        )
        # They cost little while nothing happens, and an address may have many watchers.
        per_caller = settings.max_long_streams_per_caller
        long_streams = Shares(settings.max_long_streams, per_caller, settings.max_long_streams, per_caller, per_caller)
        self.calls = Places("calls", calls, on_refusal)
        self.streams = Places("streams", streams, on_refusal)
        self.long_streams = Places("long_streams", long_streams, on_refusal)

    @property
    def taken(self) -> int:
        """How many are taken, of all kinds together."""
        return self.calls.taken + self.streams.taken + self.long_streams.taken

    async def wait_until_free(self) -> None:
        """Returns when no place is taken. Call it when there are no new calls."""
        for places in (self.calls, self.streams, self.long_streams):
            await places.wait_until_free()
