"""Client of metasvc's referrers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio

from roadstead.meta.v1 import referrer_service_pb2 as pb
from roadstead.meta.v1.manifest_pb2 import Descriptor as DescriptorMessage
from roadstead.meta.v1.referrer_service_pb2_grpc import ReferrerServiceStub
from svckit.oci.descriptor import Descriptor
from svckit.oci.digest import Digest

if TYPE_CHECKING:
    from roadstead.meta.v1.referrer_service_pb2_grpc import ReferrerServiceAsyncStub


class ReferrerClient:
    """Lists referrers."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Takes the channel to metasvc."""
        self._stub: ReferrerServiceAsyncStub = ReferrerServiceStub(channel)

    async def list(
        self, repository: str, digest: str, artifact_type: str, page_size: int, page_token: str
    ) -> tuple[list[Descriptor], str]:
        """The manifests whose subject is a digest, and the token of the next page, empty on the last.

        Args:
            repository: full name.
            digest: of the subject.
            artifact_type: only these; empty for all.
            page_size: how many at most.
            page_token: of the page; empty for the first.

        Raises:
            DomainError: INSUFFICIENT_SCOPE, INVALID_PAGE_TOKEN.
        """
        request = pb.ListReferrersRequest(
            repository=repository,
            digest=digest,
            artifact_type=artifact_type,
            page_size=page_size,
            page_token=page_token,
        )
        answer = await self._stub.ListReferrers(request)
        return [_descriptor(referrer) for referrer in answer.referrers], answer.next_page_token


def _descriptor(message: DescriptorMessage) -> Descriptor:
    return Descriptor(
        media_type=message.media_type,
        digest=Digest.parse(message.digest),
        size=message.size_bytes,
        artifact_type=message.artifact_type,
        annotations=dict(message.annotations),
    )
