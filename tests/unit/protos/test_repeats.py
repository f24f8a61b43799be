"""What every contract says of repeats, and that channels do exactly that."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message_factory import GetMessageClass

from svckit.errors import Unavailable
from svckit.errors.status import abort
from svckit.idempotency import IDEMPOTENCY_KEY
from svckit.rpc import RpcChannel, open_channel
from tests.harness.contracts import Rpc, every_rpc

RPCS = {rpc.name: rpc for rpc in every_rpc()}
# Of these, a repeat does harm, or a channel cannot make it: written by hand, with the reasons in the contracts.
NEVER_REPEATED = {
    "auth.v1.RobotService/CreateProjectRobot",
    "auth.v1.ProjectMetadataService/AddProjectMetadata",
    "auth.v1.RobotService/RefreshRobotSecret",
    "auth.v1.UserService/ChangeUserPassword",
    "blob.v1.UploadService/AppendUpload",
    "blob.v1.UploadService/WriteUpload",
    "blob.v1.UploadService/WriteUploadFile",
    "meta.v1.ArtifactService/AddArtifactLabel",
    "meta.v1.BlobLinkService/ResolveBlobBatches",
    "meta.v1.ManifestService/ResolveManifestBatches",
    "meta.v1.ManifestService/WriteManifest",
}
ATTEMPTS = 3


def _level(name: str) -> int:
    return int(RPCS[name].method.GetOptions().idempotency_level)


def _has_key(rpc: Rpc) -> bool:
    return IDEMPOTENCY_KEY in rpc.method.input_type.fields_by_name


@pytest.mark.parametrize("name", RPCS)
def test_every_rpc_says_what_a_repeat_does(name: str) -> None:
    options = RPCS[name].method.GetOptions()
    assert options.HasField("idempotency_level"), f"{name} needs an `option idempotency_level` (docs/contracts.md)"
    assert (_level(name) == MethodOptions.IDEMPOTENCY_UNKNOWN) == (name in NEVER_REPEATED)


@pytest.mark.parametrize("name", RPCS)
def test_what_rest_reads_has_no_side_effects(name: str) -> None:
    options = RPCS[name].method.GetOptions()
    rule = options.Extensions[annotations_pb2.http]
    bindings = (rule, *rule.additional_bindings) if options.HasExtension(annotations_pb2.http) else ()
    reads = [
        binding.get if binding.WhichOneof("pattern") == "get" else binding.custom.path
        for binding in bindings
        if binding.WhichOneof("pattern") == "get" or binding.custom.kind == "HEAD"
    ]
    if reads:
        assert options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS, reads
    assert not bindings or len(reads) in {0, len(bindings)}, "reads at one path and writes at another"


def test_creates_with_a_key_are_idempotent_by_it() -> None:
    keys = {name: rpc.method.input_type.fields_by_name[IDEMPOTENCY_KEY] for name, rpc in RPCS.items() if _has_key(rpc)}
    assert [name for name, key in keys.items() if key.type != FieldDescriptor.TYPE_STRING] == []
    assert [name for name in keys if _level(name) != MethodOptions.IDEMPOTENT] == []


class Restarting(grpc.GenericRpcHandler):
    """Serves every RPC, and is UNAVAILABLE twice before it answers."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = handler_call_details.method

        async def serve(_requests: Any, context: Any) -> AsyncIterator[bytes]:
            self.attempts[method] += 1
            if self.attempts[method] < ATTEMPTS:
                await abort(context, Unavailable(retry_after_seconds=None), "test")
            yield b""

        # On the wire all kinds look like this one.
        return grpc.stream_stream_rpc_method_handler(serve)


@pytest.fixture
def restarting() -> Restarting:
    return Restarting()


@pytest.fixture
async def channel(restarting: Restarting) -> AsyncIterator[RpcChannel]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((restarting,))
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        target = f"unix:{Path(folder) / 's'}"
        server.add_insecure_port(target)
        await server.start()
        async with open_channel(target) as channel:
            yield channel
        await server.stop(0)


async def test_channels_repeat_exactly_what_may_be_repeated(channel: RpcChannel, restarting: Restarting) -> None:
    # All at once: each repeat waits a little, as gRPC has it.
    answered = await asyncio.gather(*(_is_answered(channel, rpc, rpc.request_class()) for rpc in RPCS.values()))
    repeated = {rpc.path for name, rpc in RPCS.items() if name not in NEVER_REPEATED and not _has_key(rpc)}
    assert {rpc.path for rpc, good in zip(RPCS.values(), answered, strict=True) if good} == repeated
    assert restarting.attempts == {rpc.path: ATTEMPTS if rpc.path in repeated else 1 for rpc in RPCS.values()}


async def test_with_a_key_every_create_is_repeated(channel: RpcChannel, restarting: Restarting) -> None:
    keyed = [rpc for rpc in RPCS.values() if _has_key(rpc)]
    requests = [rpc.request_class(**{IDEMPOTENCY_KEY: "k-1"}) for rpc in keyed]
    assert all(await asyncio.gather(*(_is_answered(channel, *each) for each in zip(keyed, requests, strict=True))))
    assert restarting.attempts == {rpc.path: ATTEMPTS for rpc in keyed}


async def _is_answered(channel: RpcChannel, rpc: Rpc, request: Any) -> bool:
    try:
        await _call(channel, rpc, request)
    except Unavailable:
        return False
    return True


async def _call(channel: RpcChannel, rpc: Rpc, request: Any) -> None:
    response = GetMessageClass(rpc.method.output_type)
    kinds: dict[tuple[bool, bool], Callable[..., Any]] = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    call = kinds[rpc.method.client_streaming, rpc.method.server_streaming](
        rpc.path, request_serializer=rpc.request_class.SerializeToString, response_deserializer=response.FromString
    )
    answers: Any = call(iter([request]) if rpc.method.client_streaming else request)
    if rpc.method.server_streaming:
        assert [answer async for answer in answers] == [response()]
    else:
        assert await answers == response()
