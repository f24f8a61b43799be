"""TLS on TCP: both sides show a certificate of the same authority."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from svckit.errors import Unavailable
from svckit.rpc import TlsSettings, open_channel
from svckit.rpc.tls import TlsError
from tests.unit.svckit.rpc.contract import guarded_pb2, guarded_pb2_grpc


class Authority:
    """Signs certificates for 127.0.0.1 and "metasvc"."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        own = self._build(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def settings(self, *, trusting: "Authority | None" = None, **more: Any) -> TlsSettings:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "service")])
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("metasvc")]
        )
        signed = self._build(subject, key).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        certificate, key_file = self._folder / "cert.pem", self._folder / "key.pem"
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return TlsSettings(ca=(trusting or self).ca, certificate=certificate, key=key_file, **more)

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )


async def test_two_services_of_one_authority_understand_each_other(start_server: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    server = await start_server(listen=("127.0.0.1:0",), tls=authority.settings())
    for server_name in (None, "metasvc"):
        async with open_channel(str(server.addresses[0]), tls=authority.settings(server_name=server_name)) as channel:
            answer = await guarded_pb2_grpc.GuardedStub(channel).Public(guarded_pb2.Request(text="hello"))
            assert answer.text == "hello"


async def test_a_stranger_is_not_let_in(start_server: Any, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    server = await start_server(listen=("127.0.0.1:0",), tls=ours.settings())
    strangers = (theirs.settings(trusting=ours), theirs.settings(), TlsSettings())
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
    settings = Authority(tmp_path / "ours").settings()
    assert settings.key is not None
    settings.key.unlink()
    with pytest.raises(TlsError, match=str(settings.key)):
        await start_server(listen=("127.0.0.1:0",), tls=settings)
