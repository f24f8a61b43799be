"""Asks the services for their health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from svckit.errors import DomainError
from svckit.rpc.health import REASON_KEY

if TYPE_CHECKING:
    from gateway.clients.channels import Channels

_TIMEOUT_SECONDS = 2.0
_REMEMBERED_SECONDS = 1.0
# Short, because at a start the supervisor waits for the first good answer.
_FAILURE_REMEMBERED_SECONDS = 0.1
_UNREACHABLE = "not reachable"


class State(Enum):
    """The state of a service."""

    SERVING = "serving"
    DEGRADED = "degraded"
    """It serves, but refuses calls that add data."""
    NOT_SERVING = "not serving"


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a service.

    Attributes:
        state: its state.
        reason: the reason, in words that anybody may read; empty if nothing is wrong.
    """

    state: State
    reason: str = ""

    @property
    def serves(self) -> bool:
        """Whether requests that need it can be served."""
        return self.state is not State.NOT_SERVING

    def __str__(self) -> str:
        return f"{self.state.value} ({self.reason})" if self.reason else self.state.value


class Readiness:
    """Asks each service at most about once a second, because many probes may come at the same time."""

    def __init__(self, channels: Channels) -> None:
        """Takes the channels to the services."""
        self._channels = channels
        self._known: dict[str, Health] = {}
        self._asked_time = float("-inf")
        self._asking = asyncio.Lock()

    async def check(self) -> Mapping[str, Health]:
        """The health of each service, by its name."""
        async with self._asking:
            healthy = bool(self._known) and all(health.serves for health in self._known.values())
            remembered = _REMEMBERED_SECONDS if healthy else _FAILURE_REMEMBERED_SECONDS
            if time.monotonic() - self._asked_time >= remembered:
                answers = await asyncio.gather(*(_ask(channel) for channel in self._channels.values()))
                self._known = dict(zip(self._channels, answers, strict=True))
                self._asked_time = time.monotonic()
            return self._known


async def _ask(channel: grpc.aio.Channel) -> Health:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    call = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS, wait_for_ready=False)
    try:
        answer = await call
        metadata = await call.trailing_metadata()
    except (DomainError, grpc.aio.AioRpcError):
        return Health(State.NOT_SERVING, _UNREACHABLE)
    reason = str(dict(metadata).get(REASON_KEY, ""))
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return Health(State.NOT_SERVING, reason)
    return Health(State.DEGRADED if reason else State.SERVING, reason)
