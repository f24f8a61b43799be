"""TLS on TCP: both sides show a certificate of the same authority."""

from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from svckit.errors import Unavailable
from svckit.rpc import TlsSettings, open_channel
from svckit.rpc.tls import TlsError
from tests.harness.certificates import Authority
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc


def settings_of(authority: Authority, *, trusting: Authority | None = None, **more: Any) -> TlsSettings:
    issued = authority.issue()
    return TlsSettings(ca=(trusting or authority).ca, certificate=issued.certificate, key=issued.key, **more)


async def test_two_services_of_one_authority_understand_each_other(start_server: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    server = await start_server(listen=("127.0.0.1:0",), tls=settings_of(authority))
    for server_name in (None, "metasvc"):
        async with open_channel(
            str(server.addresses[0]), tls=settings_of(authority, server_name=server_name)
        ) as channel:
            answer = await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request(text="hello"))
            assert answer.text == "hello"


async def test_a_stranger_is_not_let_in(start_server: Any, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    server = await start_server(listen=("127.0.0.1:0",), tls=settings_of(ours))
    strangers = (settings_of(theirs, trusting=ours), settings_of(theirs), TlsSettings())
    for settings in strangers:
        async with open_channel(str(server.addresses[0]), tls=settings, wait_for_ready=False) as channel:
            with pytest.raises(Unavailable):
                await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())
    root = grpc.ssl_channel_credentials(ours.ca.read_bytes())
    async with grpc.aio.secure_channel(str(server.addresses[0]), root) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_file_that_is_missing_is_named(start_server: Any, tmp_path: Path) -> None:
    settings = settings_of(Authority(tmp_path / "ours"))
    assert settings.key is not None
    settings.key.unlink()
    with pytest.raises(TlsError, match=str(settings.key)):
        await start_server(listen=("127.0.0.1:0",), tls=settings)
