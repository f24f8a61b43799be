"""Manifests."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from metasvc.convert import from_manifest
from metasvc.domain.condition import Conditions
from metasvc.domain.manifest import delete_manifest
from metasvc.domain.manifest_push import ManifestPush, put_manifest
from metasvc.domain.manifest_read import resolve_manifest, resolve_manifests
from metasvc.domain.model import StoredManifest, WantedManifest
from roadstead.meta.v1 import manifest_service_pb2 as pb
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceServicer
from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.convert import authorized_project, to_digest, to_reference, to_repository_name, to_tag
from svckit.errors import Invalid, error_for
from svckit.rpc.members import current_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from metasvc.domain.ports import Ports
    from metasvc.domain.pull import PullRecorder
    from svckit.access.call import Call
    from svckit.access.principal import Principal
    from svckit.rpc.held_messages import HeldMessages

    Context = grpc.aio.ServicerContext[Any, Any]

_PIECE_BYTES = 1024 * 1024
_STEP_BYTES = 64 * 1024
_RECEIVING_SECONDS = 60.0


class ManifestServicer(ManifestServiceServicer):
    """Serves `roadstead.meta.v1.ManifestService`."""

    def __init__(self, ports: Ports, pulls: PullRecorder, messages: HeldMessages) -> None:
        """Takes the domain's ports, the recorder of pulls, and the memory for what arrives in pieces."""
        self._ports = ports
        self._pulls = pulls
        self._messages = messages

    async def ResolveManifest(self, request: pb.ResolveManifestRequest, context: Context) -> pb.ResolveManifestResponse:
        found = await self._resolve(_wanted(current_call(), request, content=not request.omit_content))
        return pb.ResolveManifestResponse(manifest=from_manifest(found))

    async def ResolveManifests(
        self, request: pb.ResolveManifestsRequest, context: Context
    ) -> pb.ResolveManifestsResponse:
        return pb.ResolveManifestsResponse(answers=await self._answers())

    async def ResolveManifestBatches(
        self, request_iterator: AsyncIterator[pb.ResolveManifestBatchesRequest], context: Context
    ) -> AsyncIterator[pb.ResolveManifestBatchesResponse]:
        async for _ in request_iterator:
            yield pb.ResolveManifestBatchesResponse(answers=await self._answers())

    async def ReadManifest(
        self, request: pb.ReadManifestRequest, context: Context
    ) -> AsyncIterator[pb.ReadManifestResponse]:
        found = await self._resolve(_wanted(current_call(), request, content=True))
        content = found.content or b""
        yield pb.ReadManifestResponse(manifest=from_manifest(replace(found, content=None)))
        for start in range(0, len(content), _PIECE_BYTES):
            yield pb.ReadManifestResponse(data=content[start : start + _PIECE_BYTES])

    async def PutManifest(self, request: pb.PutManifestRequest, context: Context) -> pb.PutManifestResponse:
        call = current_call()
        push = replace(_push(authorized_project(call).id, request, request.content), config=request.config)
        pushed = await put_manifest(self._ports, push, call.origin)
        return pb.PutManifestResponse(
            digest=pushed.digest, tags=pushed.tags, subject_digest=pushed.subject_digest, existed=pushed.existed
        )

    async def WriteManifest(
        self, request_iterator: AsyncIterator[pb.WriteManifestRequest], context: Context
    ) -> pb.WriteManifestResponse:
        call = current_call()
        messages = aiter(request_iterator)
        try:
            async with asyncio.timeout(_RECEIVING_SECONDS):
                header = await _header(messages)
                name = to_repository_name(header.repository)
                # Nothing of the content is read before this.
                project = await call.check_project(
                    ProjectKey(name=name.project, repository=name.value), "repository", "push"
                )
                content = await self._content(messages, call.principal)
        except TimeoutError:
            raise error_for("REQUEST_TIMEOUT") from None
        pushed = await put_manifest(self._ports, _push(project.id, header, content), call.origin)
        return pb.WriteManifestResponse(
            digest=pushed.digest, tags=pushed.tags, subject_digest=pushed.subject_digest, existed=pushed.existed
        )

    async def _content(self, messages: AsyncIterator[pb.WriteManifestRequest], pusher: Principal) -> bytes:
        content, held = bytearray(), 0
        async for message in messages:
            if not message.HasField("data"):
                raise Invalid(message="every message of WriteManifest after the header must be data")
            content += message.data
            if len(content) > self._ports.manifest_max_bytes:
                raise Invalid("MANIFEST_TOO_LARGE", f"at most {self._ports.manifest_max_bytes} bytes are allowed")
            if len(content) > held:
                # In steps, because the messages may be small.
                step = max(_STEP_BYTES, len(content) - held)
                self._messages.hold(pusher.known_subject, step)
                held += step
        return bytes(content)

    async def _resolve(self, wanted: WantedManifest) -> StoredManifest:
        hold = partial(self._messages.hold, current_call().principal.known_subject)
        found = await resolve_manifest(self._ports, wanted, hold)
        self._note(wanted, found)
        return found

    async def _answers(self) -> list[pb.ResolveManifestsResponse.Answer]:
        return await current_batch().answer(_wanted_member, partial(resolve_manifests, self._ports), self._answer)

    def _answer(self, call: Call, wanted: WantedManifest, found: StoredManifest) -> pb.ResolveManifestsResponse.Answer:
        self._note(wanted, found)
        return pb.ResolveManifestsResponse.Answer(manifest=from_manifest(found))

    def _note(self, wanted: WantedManifest, found: StoredManifest) -> None:
        if wanted.content:
            # A HEAD does not count as a pull, as in Harbor. A pull of bytes that the gateway holds does.
            self._pulls.note(found, None if wanted.reference.tag is None else wanted.reference.tag.name)

    async def DeleteManifest(self, request: pb.DeleteManifestRequest, context: Context) -> pb.DeleteManifestResponse:
        call = current_call()
        await delete_manifest(
            self._ports,
            project_id=authorized_project(call).id,
            repository=str(to_repository_name(request.repository)),
            reference=to_reference(request.reference),
            origin=call.origin,
            conditions=Conditions(tuple(request.if_match), tuple(request.if_none_match)),
        )
        return pb.DeleteManifestResponse()


def _wanted(
    call: Call,
    request: pb.ResolveManifestRequest | pb.ReadManifestRequest | pb.ResolveManifestsRequest.Member,
    *,
    content: bool,
    held_digest: str = "",
) -> WantedManifest:
    return WantedManifest(
        project_id=authorized_project(call).id,
        repository=str(to_repository_name(request.repository)),
        reference=to_reference(request.reference),
        content=content,
        held_digest=held_digest,
    )


def _wanted_member(call: Call, member: pb.ResolveManifestsRequest.Member) -> WantedManifest:
    held = str(to_digest(member.held_digest)) if member.held_digest else ""
    return _wanted(call, member, content=not member.omit_content, held_digest=held)


def _push(
    project_id: int, request: pb.PutManifestRequest | pb.WriteManifestRequest.Header, content: bytes
) -> ManifestPush:
    return ManifestPush(
        project_id=project_id,
        repository=str(to_repository_name(request.repository)),
        reference=to_reference(request.reference),
        media_type=request.media_type,
        content=content,
        tags=tuple(map(to_tag, request.tags)),
        conditions=Conditions(tuple(request.if_match), tuple(request.if_none_match)),
    )


async def _header(messages: AsyncIterator[pb.WriteManifestRequest]) -> pb.WriteManifestRequest.Header:
    first = await anext(messages, None)
    if first is None or not first.HasField("header"):
        raise Invalid(message="the first message of WriteManifest must be the header")
    return first.header
