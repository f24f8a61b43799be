"""What all methods of one RPC server share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from svckit.metrics import Metrics
    from svckit.rpc.arrival import Arrivals
    from svckit.rpc.held_messages import HeldMessages
    from svckit.rpc.late_requests import LateRequests
    from svckit.rpc.server_places import ServerPlaces
    from svckit.rpc.stream_pace import StreamPaces
    from svckit.rpc.streams import LongStreams

_LEVELS = {"off": None, "debug": logging.DEBUG, "info": logging.INFO}


class ServerContext:
    """The objects that all methods of one server share.

    Attributes:
        service: the name of the service; part of the domain of every error.
        arrivals: makes the `Call` of each call.
        places: the places of calls and streams.
        long_streams: ends the calls that stay open.
        messages: bounds the memory of large messages.
        metrics: counts calls for Prometheus.
        access_log: the level at which each call is logged; None for no log.
        paces: how long clients of streams are waited for.
        late: waits for the first request of each call.
        is_full: whether methods that add data are refused at the moment.
        refuses_changes: the reason why methods that change something are refused at the moment; None if they are not.
    """

    __slots__ = (
        "access_log",
        "arrivals",
        "is_full",
        "late",
        "long_streams",
        "messages",
        "metrics",
        "paces",
        "places",
        "refuses_changes",
        "service",
    )

    def __init__(
        self,
        service: str,
        arrivals: Arrivals,
        places: ServerPlaces,
        long_streams: LongStreams,
        messages: HeldMessages,
        metrics: Metrics,
        access_log: Literal["off", "debug", "info"],
        paces: StreamPaces,
        late: LateRequests,
    ) -> None:
        """Takes the objects."""
        self.service = service
        self.arrivals = arrivals
        self.places = places
        self.long_streams = long_streams
        self.messages = messages
        self.metrics = metrics
        self.access_log = _LEVELS[access_log]
        self.paces = paces
        self.late = late
        self.is_full = False
        self.refuses_changes: str | None = None
