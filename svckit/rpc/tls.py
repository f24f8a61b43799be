"""TLS between services: on TCP, both sides present a certificate signed by the installation's own authority."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import grpc
from pydantic import BaseModel, ConfigDict, model_validator

from svckit.errors.start import StartError
from svckit.rpc.address import Address, TcpAddress


class TlsError(StartError):
    """Plain text is not allowed for an address, or a TLS file cannot be read."""


class TlsSettings(BaseModel):
    """The use of TLS on TCP. Unix sockets are protected by their file mode and never use TLS.

    `ca`, `certificate` and `key` must be set together. If they are set, every TCP address uses them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "on", "off"] = "auto"
    """Where plain text is allowed: "auto": on loopback, unless the files are set; "on": nowhere; "off": everywhere."""
    ca: Path | None = None
    """PEM file: the authority that signs the certificates of both sides."""
    certificate: Path | None = None
    """PEM file: the certificate of this service, with the chain to `ca`."""
    key: Path | None = None
    """PEM file: the private key of this service."""
    server_name: str | None = None
    """The name in the server's certificate, if it is not the host of the channel's address."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = [path is not None for path in (self.ca, self.certificate, self.key)]
        if any(given) and not all(given):
            raise ValueError("ca, certificate and key are given together or not at all")
        if self.mode == "on" and not all(given):
            raise ValueError('mode "on" needs ca, certificate and key')
        return self

    def server_credentials(self, address: Address) -> grpc.ServerCredentials | None:
        """The credentials of a server that listens at an address; None for plain text.

        Raises:
            TlsError: plain text is not allowed for this address, or a file cannot be read.
        """
        if not self._encrypts(address):
            return None
        ca, certificate, key = self._read()
        return grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)

    def channel_credentials(self, address: Address) -> grpc.ChannelCredentials | None:
        """The credentials of a channel to an address; None for plain text. Raises as `server_credentials`."""
        if not self._encrypts(address):
            return None
        ca, certificate, key = self._read()
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)

    def _encrypts(self, address: Address) -> bool:
        if not isinstance(address, TcpAddress) or self.mode == "off":
            return False
        if self.ca is not None:
            return True
        if address.is_loopback:
            return False
        raise TlsError(
            f"{address} is not on this machine, and tokens must not be sent in plain text: "
            'set tls.ca, tls.certificate and tls.key, or tls.mode = "off" if the network is private'
        )

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            return _bytes(self.ca), _bytes(self.certificate), _bytes(self.key)
        except OSError as error:
            raise TlsError(f"cannot read {error.filename}: {error.strerror}") from error


def _bytes(path: Path | None) -> bytes:
    if path is None:
        raise TlsError("ca, certificate and key are given together or not at all")
    return path.read_bytes()
