"""gRPC's own health service (grpc.health.v1). It says NOT_SERVING until the server sets SERVING.

Its answers have no field for a reason. So the reason is sent as trailing metadata of Check, where grpcurl (`-v`) and
the gateway can read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.rpc.follow import Notifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

REASON_KEY = "x-roadstead-reason"
"""The metadata with the reason: "database" with NOT_SERVING, "disk full" with SERVING. Anybody may read it."""
DISK_FULL = "disk full"

_Response = health_pb2.HealthCheckResponse
# Each load balancer keeps one watch open all the time. No installation has this many. A limit of its own:
# the contract is gRPC's and says nothing of long streams, and a server full of those must still tell its health.
_MAXIMUM_WATCHES = 100


class Health(health_pb2_grpc.HealthServicer):
    """Says whether the server and its services are serving. They all have the same status.

    The servicer of grpcio-health-checking is not used, because its watches never end, and a drain would wait for them.
    This one ends its watches when the server drains.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """Takes the full names of the services. The empty name means the whole server."""
        self._services = frozenset(services) | {""}
        self._serving = False
        self._ending = False
        self._away: tuple[str, ...] = ()
        self._is_full = False
        self._changed = Notifier()
        self._watches = 0

    def set_serving(self, *, serving: bool) -> None:
        """Sets the status, and sends it to all watches."""
        self._serving = serving and not self._ending
        self._changed.notify()

    def set_condition(self, *, away: tuple[str, ...], is_full: bool) -> None:
        """Sets what the server lacks.

        Args:
            away: the missing needs, without which nothing can be served.
            is_full: whether the disk is full. Then the server serves, but refuses calls that add data.
        """
        if (away, is_full) != (self._away, self._is_full):
            self._away, self._is_full = away, is_full
            self._changed.notify()

    @property
    def reason(self) -> str:
        """The reason why not everything is served; empty if nothing is wrong."""
        if self._ending:
            return "stopping"
        if self._away:
            return ", ".join(self._away)
        if not self._serving:
            return "starting"
        return DISK_FULL if self._is_full else ""

    def end(self) -> None:
        """Sets NOT_SERVING permanently, and ends the watches."""
        self._ending = True
        self.set_serving(serving=False)

    async def Check(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """The current status; NOT_FOUND for an unknown service."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        if self.reason:
            context.set_trailing_metadata(((REASON_KEY, self.reason),))
        return _Response(status=self._status(request.service))

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The current status, and each later one when it changes."""
        if self._watches >= _MAXIMUM_WATCHES:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watches")
        self._watches += 1
        try:
            sent = None
            while True:
                changed, status = self._changed.next(), self._status(request.service)
                if status != sent:
                    yield _Response(status=status)
                    sent = status
                if self._ending:
                    return
                await changed.wait()
        finally:
            self._watches -= 1

    def _status(self, service: str) -> int:
        if service not in self._services:
            return _Response.SERVICE_UNKNOWN
        return _Response.SERVING if self._serving and not self._away else _Response.NOT_SERVING
