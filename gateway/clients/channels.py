"""The channels to the services, and the clients that use them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

import grpc.aio

from gateway.clients.blob import BlobClient
from gateway.clients.blob_folder import BlobFolder
from gateway.clients.manifest import ManifestClient
from gateway.clients.quota import QuotaClient
from gateway.clients.reads.reads import Reads
from gateway.clients.recent_configs import RecentConfigs
from gateway.clients.referrer import ReferrerClient
from gateway.clients.repository import RepositoryClient
from gateway.clients.tag import TagClient
from gateway.clients.token import TokenClient
from gateway.clients.upload import UploadClient
from gateway.wire.measure import HttpMetrics
from svckit.services import RPC_SERVICES

CONTRACTS: Mapping[str, ModuleType] = MappingProxyType(
    {name: importlib.import_module(row.contracts) for name, row in RPC_SERVICES.items() if row.is_rest}
)
"""The contracts whose RPCs are served as REST, by the service that serves them."""


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
    """The clients of the services.

    Attributes:
        tokens: the client of authsvc's tokens.
        reads: reads of manifests and blobs from metasvc.
        manifests: the client of metasvc's manifests. `tags`, `referrers`, `repositories` and `quotas` are metasvc's
            as well; `blobs` uses metasvc's links and blobsvc's bytes.
        uploads: the client of blobsvc's uploads.
    """

    tokens: TokenClient
    reads: Reads
    manifests: ManifestClient
    blobs: BlobClient
    uploads: UploadClient
    tags: TagClient
    referrers: ReferrerClient
    repositories: RepositoryClient
    quotas: QuotaClient

    @classmethod
    def over(
        cls, channels: Channels, reads: Reads, folder: BlobFolder | None, metrics: HttpMetrics, file_min_bytes: int
    ) -> Services:
        """The clients on these channels.

        Args:
            channels: the channels.
            reads: reads from metasvc.
            folder: the folder of blobsvc; None if this process cannot read it.
            metrics: counts bytes of blobs.
            file_min_bytes: smaller bodies of uploads go over gRPC even if there is a folder.
        """
        configs = RecentConfigs()
        return cls(
            tokens=TokenClient(channels["authsvc"]),
            reads=reads,
            manifests=ManifestClient(channels["metasvc"], configs),
            blobs=BlobClient(channels["metasvc"], channels["blobsvc"], reads, folder, metrics),
            uploads=UploadClient(channels["blobsvc"], folder, metrics, configs, file_min_bytes),
            tags=TagClient(channels["metasvc"]),
            referrers=ReferrerClient(channels["metasvc"]),
            repositories=RepositoryClient(channels["metasvc"]),
            quotas=QuotaClient(channels["metasvc"]),
        )
