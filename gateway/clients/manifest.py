"""Client of metasvc's manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import manifest_service_pb2 as pb
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub

if TYPE_CHECKING:
    from gateway.clients.recent_configs import RecentConfigs
    from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceAsyncStub


@dataclass(frozen=True, slots=True)
class PutManifest:
    """The result of storing a manifest.

    Attributes:
        digest: the digest of the manifest.
        tags: the requested tags, which now point to it.
        subject_digest: the digest of its subject; empty without one.
    """

    digest: str
    tags: tuple[str, ...]
    subject_digest: str


class ManifestClient:
    """Writes manifests. `gateway.clients.reads` reads them."""

    def __init__(self, channel: grpc.aio.Channel, configs: RecentConfigs) -> None:
        """Takes the channel to metasvc, and the configs that were uploaded just now."""
        self._stub: ManifestServiceAsyncStub = ManifestServiceStub(channel)
        self._configs = configs

    async def put(
        self,
        repository: str,
        reference: str,
        media_type: str,
        content: bytes,
        tags: Sequence[str],
        if_match: Sequence[str],
        if_none_match: Sequence[str],
    ) -> PutManifest:
        """Stores a manifest and moves its tags, in one transaction.

        Raises:
            DomainError: MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, DIGEST_INVALID, PRECONDITION, QUOTA_EXCEEDED, …
        """
        request = pb.PutManifestRequest(
            repository=repository,
            reference=reference,
            media_type=media_type,
            content=content,
            tags=tags,
            if_match=if_match,
            if_none_match=if_none_match,
            config=self._configs.named_by(content),
        )
        answer = await self._stub.PutManifest(request)
        return PutManifest(answer.digest, tuple(answer.tags), answer.subject_digest)

    async def delete(
        self, repository: str, reference: str, if_match: Sequence[str], if_none_match: Sequence[str]
    ) -> None:
        """Deletes a manifest with its tags, or one tag.

        Raises:
            DomainError: MANIFEST_UNKNOWN, NAME_UNKNOWN, INSUFFICIENT_SCOPE, PRECONDITION; UNSUPPORTED if deletion is
                switched off.
        """
        request = pb.DeleteManifestRequest(
            repository=repository, reference=reference, if_match=if_match, if_none_match=if_none_match
        )
        await self._stub.DeleteManifest(request)
