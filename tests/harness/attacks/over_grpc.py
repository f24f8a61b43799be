"""Attacks on the services, over gRPC on their loopback ports."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import grpc.aio
import h2.config
import h2.connection
import h2.events
import h2.settings
from google.protobuf.message import Message

from roadstead.blob.v1.blob_service_pb2 import ReadBlobRequest
from roadstead.blob.v1.upload_service_pb2 import CancelUploadRequest, StartUploadRequest, WriteUploadRequest
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from roadstead.meta.v1.blob_link_service_pb2 import ResolveBlobRequest
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from roadstead.meta.v1.manifest_service_pb2 import ResolveManifestRequest
from tests.harness.attacks.attacker import HOLD_SECONDS, Attack, Attacker

_READ_BLOB = "/roadstead.blob.v1.BlobService/ReadBlob"
_WRITE_UPLOAD = "/roadstead.blob.v1.UploadService/WriteUpload"
_PUT_MANIFEST = "/roadstead.meta.v1.ManifestService/PutManifest"
_RESOLVE_MANIFEST = "/roadstead.meta.v1.ManifestService/ResolveManifest"
_CONNECTIONS = 7
_STREAMS = 100
_READ_BYTES = 64 * 1024
_LARGE_BYTES = 15 * 1024 * 1024
Client = h2.connection.H2Connection


def _connection(act: Callable[[Client], None], *, window_bytes: int = 65535) -> bytes:
    """What a client sends first on a connection."""
    client = _client(window_bytes)
    act(client)
    return client.data_to_send()


def _client(window_bytes: int = 65535) -> Client:
    client = Client(h2.config.H2Configuration(header_encoding="utf-8"))
    client.local_settings = h2.settings.Settings(
        initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes}
    )
    client.initiate_connection()
    return client


def _call(client: Client, method: str, token: str, request: Message, *, ends: bool = True) -> None:
    content = request.SerializeToString()
    stream = _call_head(client, method, token)
    client.send_data(stream, b"\0" + len(content).to_bytes(4, "big") + content, end_stream=ends)


def _call_head(client: Client, method: str, token: str) -> int:
    stream = client.get_next_available_stream_id()
    names = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": method, "te": "trailers"}
    fields = {"content-type": "application/grpc", "authorization": f"Bearer {token}"}
    client.send_headers(stream, [*names.items(), *fields.items()])
    return stream


def _calls(method: str, token: str, requests: Sequence[Message], *, ends: bool = True, window: int = 65535) -> bytes:
    def act(client: Client) -> None:
        for request in requests:
            _call(client, method, token, request, ends=ends)

    return _connection(act, window_bytes=window)


async def _answered(attacker: Attacker, port: int, method: str, requests: Sequence[Message]) -> None:
    """Sends calls of a stranger at once on one connection, and reads all answers."""
    client = _client()
    for request in requests:
        _call(client, method, attacker.target.anonymous, request)
    waiting = len(requests)
    # The service may refuse the connection.
    with suppress(OSError):
        reader, writer = await attacker.connect(port)
        attacker.count()
        while waiting:
            writer.write(client.data_to_send())
            data = await reader.read(_READ_BYTES)
            if not data:
                return
            for event in client.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    waiting -= 1


async def _grant(attacker: Attacker) -> str:
    target = attacker.target
    async with grpc.aio.insecure_channel(f"127.0.0.1:{target.grpc_ports['metasvc']}") as channel:
        request = ResolveBlobRequest(repository=target.name, digest=target.digest)
        answer = await BlobLinkServiceStub(channel).ResolveBlob(
            request, metadata=(("authorization", f"Bearer {target.anonymous}"),)
        )
    return str(answer.grant)


async def slow_readers_over_grpc(attacker: Attacker) -> None:
    """Nothing of the answers is read, on many connections."""
    target = attacker.target
    request = ReadBlobRequest(grant=await _grant(attacker))
    data = _calls(_READ_BLOB, target.anonymous, [request] * 20)
    await attacker.hold(30, data, target.grpc_ports["blobsvc"])


async def dripping_uploads_over_grpc(attacker: Attacker) -> None:
    """As many uploads as one token may begin, a few writers each."""
    target = attacker.target
    port = target.grpc_ports["blobsvc"]
    known = (("authorization", f"Bearer {target.token}"),)
    tickets = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        uploads = UploadServiceStub(channel)
        try:
            for _ in range(60):
                begun = await uploads.StartUpload(StartUploadRequest(repository=target.name), metadata=known)
                tickets.append(begun.upload.ticket)
                attacker.count()
        except grpc.aio.AioRpcError as refused:
            if refused.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
        header = WriteUploadRequest.Header
        requests = [WriteUploadRequest(header=header(ticket=each, repository=target.name)) for each in tickets]
        await attacker.hold(5, _calls(_WRITE_UPLOAD, target.token, requests, ends=False), port)
        attacker.close()
        for ticket in tickets:
            request = CancelUploadRequest(ticket=ticket, repository=target.name)
            await uploads.CancelUpload(request, metadata=known)


async def idle_connections_to_a_service(attacker: Attacker) -> None:
    """HTTP/2 connections without calls."""
    await attacker.hold(900, _connection(lambda _: None), attacker.target.grpc_ports["blobsvc"])


async def silent_connections_to_a_service(attacker: Attacker) -> None:
    """Connections on which nothing is sent."""
    await attacker.hold(900, b"", attacker.target.grpc_ports["metasvc"])


async def many_calls_at_once(attacker: Attacker) -> None:
    """More calls than a service serves at once, each of a client that waits for its answer."""
    target = attacker.target
    request = ResolveManifestRequest(repository=target.name, reference="latest")
    port = target.grpc_ports["metasvc"]
    await asyncio.gather(
        *(_answered(attacker, port, _RESOLVE_MANIFEST, [request] * _STREAMS) for _ in range(_CONNECTIONS))
    )


async def requests_that_never_end(attacker: Attacker) -> None:
    """Single requests of 15 MiB, of which the last byte does not come."""
    await asyncio.gather(*(_all_but_the_last_byte(attacker, 20) for _ in range(5)))


async def _all_but_the_last_byte(attacker: Attacker, calls: int) -> None:
    client = _client()
    left: dict[int, int] = {}
    for _ in range(calls):
        stream = _call_head(client, _PUT_MANIFEST, attacker.target.anonymous)
        client.send_data(stream, b"\0" + _LARGE_BYTES.to_bytes(4, "big"))
        left[stream] = _LARGE_BYTES - 1
    # The service may refuse the connection.
    with suppress(OSError, TimeoutError):
        reader, writer = await attacker.connect(attacker.target.grpc_ports["metasvc"])
        attacker.count()
        async with asyncio.timeout(HOLD_SECONDS):
            while True:
                for stream in tuple(left):
                    _send_what_is_allowed(client, stream, left)
                writer.write(client.data_to_send())
                await writer.drain()
                data = await reader.read(_READ_BYTES)
                if not data:
                    return
                for event in client.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                        left.pop(event.stream_id, None)


def _send_what_is_allowed(client: Client, stream: int, left: dict[int, int]) -> None:
    while size := min(left[stream], client.local_flow_control_window(stream), client.max_outbound_frame_size):
        client.send_data(stream, bytes(size))
        left[stream] -= size


async def unread_answers(attacker: Attacker) -> None:
    """Answers for which the client gives no window."""
    await _ask_without_a_window(attacker, "latest", calls=50)


async def unread_large_answers(attacker: Attacker) -> None:
    """The same for answers that hold much memory."""
    await _ask_without_a_window(attacker, "large", calls=20)


async def _ask_without_a_window(attacker: Attacker, reference: str, calls: int) -> None:
    target = attacker.target
    request = ResolveManifestRequest(repository=target.name, reference=reference)
    data = _calls(_RESOLVE_MANIFEST, target.anonymous, [request] * calls, window=0)
    await attacker.hold(15, data, target.grpc_ports["metasvc"])


ATTACKS: tuple[Attack, ...] = (
    slow_readers_over_grpc,
    dripping_uploads_over_grpc,
    idle_connections_to_a_service,
    silent_connections_to_a_service,
    many_calls_at_once,
    requests_that_never_end,
    unread_answers,
    unread_large_answers,
)
