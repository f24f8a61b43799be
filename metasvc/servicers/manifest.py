"""Manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.convert import from_manifest
from metasvc.domain.manifest import ManifestPush, delete_manifest, put_manifest, resolve_manifest
from roadstead.meta.v1 import manifest_service_pb2 as pb
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceServicer
from svckit.access.call import current_call
from svckit.convert import authorized_project, to_reference, to_repository_name, to_tag

if TYPE_CHECKING:
    import grpc.aio

    from metasvc.domain.ports import Ports
    from metasvc.domain.pull import PullRecorder

    Context = grpc.aio.ServicerContext[Any, Any]


class ManifestServicer(ManifestServiceServicer):
    """Serves `roadstead.meta.v1.ManifestService`."""

    def __init__(self, ports: Ports, pulls: PullRecorder) -> None:
        """Takes the domain's ports, and the recorder of pulls."""
        self._ports = ports
        self._pulls = pulls

    async def ResolveManifest(self, request: pb.ResolveManifestRequest, context: Context) -> pb.ResolveManifestResponse:
        reference = to_reference(request.reference)
        found = await resolve_manifest(
            self._ports,
            project_id=authorized_project(current_call()).id,
            repository=str(to_repository_name(request.repository)),
            reference=reference,
            content=not request.omit_content,
        )
        if not request.omit_content:
            # A HEAD does not count as a pull, as in Harbor.
            self._pulls.note(found, None if reference.tag is None else reference.tag.name)
        return pb.ResolveManifestResponse(manifest=from_manifest(found))

    async def PutManifest(self, request: pb.PutManifestRequest, context: Context) -> pb.PutManifestResponse:
        call = current_call()
        pushed = await put_manifest(
            self._ports,
            ManifestPush(
                project_id=authorized_project(call).id,
                repository=str(to_repository_name(request.repository)),
                reference=to_reference(request.reference),
                media_type=request.media_type,
                content=request.content,
                tags=tuple(map(to_tag, request.tags)),
                if_match=tuple(request.if_match),
                if_none_match=tuple(request.if_none_match),
            ),
            call.origin,
        )
        return pb.PutManifestResponse(
            digest=pushed.digest, tags=pushed.tags, subject_digest=pushed.subject_digest, existed=pushed.existed
        )

    async def DeleteManifest(self, request: pb.DeleteManifestRequest, context: Context) -> pb.DeleteManifestResponse:
        call = current_call()
        await delete_manifest(
            self._ports,
            project_id=authorized_project(call).id,
            repository=str(to_repository_name(request.repository)),
            reference=to_reference(request.reference),
            origin=call.origin,
        )
        return pb.DeleteManifestResponse()
