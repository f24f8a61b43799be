"""The channels to the services, and the ports over them."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.clients.blob import BlobClient
from gateway.clients.manifest import ManifestClient
from gateway.clients.referrer import ReferrerClient
from gateway.clients.repository import RepositoryClient
from gateway.clients.tag import TagClient
from gateway.clients.token import TokenClient
from gateway.clients.upload import UploadClient
from svckit.errors import DomainError
from svckit.services import RPC_SERVICES

CONTRACTS: Mapping[str, ModuleType] = MappingProxyType(
    {name: importlib.import_module(row.contracts) for name, row in RPC_SERVICES.items() if row.is_rest}
)
"""The contracts whose RPCs are served as REST, by the service that serves them."""

_HEALTH_TIMEOUT_SECONDS = 2.0
_HEALTH_REMEMBERED_SECONDS = 1.0
# Whoever starts everything waits for the first good answer.
_ILLNESS_REMEMBERED_SECONDS = 0.1


class Channels(Mapping[str, grpc.aio.Channel]):
    """One channel to each service, by the service's name."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """Takes open channels."""
        self._channels = dict(channels)

    def __getitem__(self, service: str) -> grpc.aio.Channel:
        """The channel to a service."""
        return self._channels[service]

    def __iter__(self) -> Iterator[str]:
        """The names of the services."""
        return iter(self._channels)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._channels)


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes call.

    Attributes:
        tokens: authsvc's tokens.
        manifests: metasvc's manifests; `blobs` its blob links together with blobsvc's bytes; `tags`, `referrers` and
            `repositories` likewise.
        uploads: blobsvc's uploads.
    """

    tokens: TokenClient
    manifests: ManifestClient
    blobs: BlobClient
    uploads: UploadClient
    tags: TagClient
    referrers: ReferrerClient
    repositories: RepositoryClient

    @classmethod
    def over(cls, channels: Channels) -> Services:
        """The ports over some channels."""
        return cls(
            tokens=TokenClient(channels["authsvc"]),
            manifests=ManifestClient(channels["metasvc"]),
            blobs=BlobClient(channels["metasvc"], channels["blobsvc"]),
            uploads=UploadClient(channels["blobsvc"]),
            tags=TagClient(channels["metasvc"]),
            referrers=ReferrerClient(channels["metasvc"]),
            repositories=RepositoryClient(channels["metasvc"]),
        )


@dataclass(slots=True)
class Readiness:
    """Whether the services serve, asked of each once a second or so at most: probes come from everywhere."""

    channels: Channels
    _known: dict[str, bool] = field(default_factory=dict)
    _asked_time: float = field(default=-1e9)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self) -> Mapping[str, bool]:
        """Each service, and whether it says SERVING."""
        async with self._asking:
            healthy = bool(self._known) and all(self._known.values())
            remembered = _HEALTH_REMEMBERED_SECONDS if healthy else _ILLNESS_REMEMBERED_SECONDS
            if time.monotonic() - self._asked_time >= remembered:
                answers = await asyncio.gather(*(_serves(channel) for channel in self.channels.values()))
                self._known = dict(zip(self.channels, answers, strict=True))
                self._asked_time = time.monotonic()
            return self._known


async def _serves(channel: grpc.aio.Channel) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await stub.Check(
            health_pb2.HealthCheckRequest(), timeout=_HEALTH_TIMEOUT_SECONDS, wait_for_ready=False
        )
    except (DomainError, grpc.aio.AioRpcError):
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
