"""Settings of the gateway: section `[gateway]`, variables `ROADSTEAD_GATEWAY_…`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from svckit.process.settings import ProcessSettings

SECTION = "gateway"

ForwardedForm = Literal["any", "x-forwarded", "forwarded"]
"""Which headers the trusted proxies write: `X-Forwarded-*`, `Forwarded`, or either. With "any", `Forwarded` counts in
requests without `X-Forwarded-*` only."""

Server = Literal["hypercorn", "granian"]
"""The HTTP servers that can carry the gateway."""

_MEBIBYTE = 1024 * 1024


class Limits(BaseModel):
    """Limits for each request, and for all requests together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    json_bytes: int = Field(default=_MEBIBYTE, ge=1024)
    """The largest body under /api/v2.0."""
    header_bytes: int = Field(default=32 * 1024, ge=4096)
    """Request line and headers together; a registry token alone may have 16 KiB."""
    header_count: int = Field(default=100, ge=20)
    """The most header fields."""
    query_bytes: int = Field(default=16 * 1024, ge=4096)
    """The longest query. An upload's ticket and a hundred tags of full length fit."""
    tags_per_manifest: int = Field(default=100, ge=10, le=100)
    """The most `tag=` in one manifest PUT (the distribution spec asks for ten); 414 beyond."""
    ranges: int = Field(default=1024, ge=1)
    """The most ranges in one GET; podman's zstd:chunked asks for so many at most. With more, the whole blob is sent."""
    requests_in_flight: int = Field(default=1000, ge=1)
    """The most requests that one process serves at once; 503 beyond."""
    requests_per_subject: int = Field(default=500, ge=1)
    """The most of these for one user or robot; 429 beyond, as for the next three."""
    requests_per_address: int = Field(default=500, ge=1)
    """The most of these for the callers with verified credentials at one address. Behind a trusted proxy, the forwarded
    address counts."""
    requests_per_address_without_credentials: int = Field(default=250, ge=1)
    """The most of these for the other callers at one address."""
    requests_without_credentials: int = Field(default=500, ge=1)
    """The most of these for all callers without verified credentials together."""
    streams: int = Field(default=256, ge=1)
    """The most uploads and downloads of blobs at once. They do not count as requests in flight. Each may use 1 to 3 MiB
    of memory."""
    streams_per_subject: int = Field(default=48, ge=1)
    """The most of these for one user or robot; 429 beyond, as for the next three."""
    streams_per_address: int = Field(default=128, ge=1)
    """The most of these for the callers with verified credentials at one address: a company or a cluster may have only
    one."""
    streams_per_address_without_credentials: int = Field(default=24, ge=1)
    """The most of these for the other callers at one address."""
    streams_without_credentials: int = Field(default=48, ge=1)
    """The most of these for all callers without credentials together."""
    connections: int = Field(default=2000, ge=1)
    """The most connections. For a further one, an idle one is closed, or one that has shown no credentials."""
    connections_per_address: int = Field(default=512, ge=1)
    """The most connections from one address, trusted proxies aside."""
    body_memory_bytes: int = Field(default=48 * _MEBIBYTE, ge=_MEBIBYTE)
    """The most memory for bodies that are held as a whole (manifests, JSON, forms), over all requests; 503 beyond."""
    body_memory_per_caller_bytes: int = Field(default=16 * _MEBIBYTE, ge=_MEBIBYTE)
    """The most of it for one user or robot, and for all callers without credentials together; 429 beyond."""
    idle_body_seconds: float = Field(default=60.0, gt=0)
    """How long a client may stand still while it sends or reads a body."""
    body_bytes_per_second: int = Field(default=1024, ge=1)
    """The least rate of a body. A client that is slower uses up its `idle_body_seconds`."""
    whole_body_seconds: float = Field(default=60.0, gt=0)
    """The longest time for a manifest, a JSON document or a form, in either direction."""
    stream_seconds: float = Field(default=86400.0, gt=0)
    """The longest time for an upload or a download of a blob."""
    request_seconds: float = Field(default=30.0, gt=0)
    """How long the services may take for a request that moves no blob."""
    commit_seconds: float = Field(default=600.0, gt=0)
    """How long finishing an upload may take. After a restart, blobsvc must read and hash earlier bytes again."""
    keep_alive_seconds: float = Field(default=75.0, gt=0)
    """How long a connection may be idle between requests, and how long a client may take to send its headers."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long requests in flight, downloads included, may go on after SIGTERM."""


class GatewaySettings(ProcessSettings):
    """The settings of the gateway."""

    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    """Where HTTP is served: `HOST:PORT`, `[IPV6]:PORT`, `unix:/path`, or `fd://N`, a socket that the parent bound."""
    server: Server = "hypercorn"
    """What carries HTTP: `hypercorn`, or `granian`, which is faster and needs `pip install roadstead[granian]`."""
    key_file: Path = Path("/var/lib/roadstead/keys/gateway.pem")
    """The gateway's key pair, which signs its service tokens. It is created if it does not exist."""
    external_url: str = ""
    """The URL of this registry, such as `https://registry.example.com`. Empty: the `Host` of each request counts."""
    blob_directory: Path | None = None
    """The folder of blobsvc (`blobsvc.data_dir`), if this process shares it: then downloads come from its files, and
    uploads are written into them, and not over gRPC. It must run as the same user. `roadstead up` sets it; empty:
    everything goes over gRPC."""
    blob_file_min_bytes: int = Field(default=_MEBIBYTE, ge=0)
    """Smaller bodies of uploads go over gRPC even with `blob_directory`, which is faster for them."""
    token_path: str = "/service/token"  # noqa: S105 - a path
    """The path of the token service."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-For`, `-Proto` and `-Host`, or `Forwarded`, are believed, such as `10.0.0.0/8`."""
    forwarded_headers: ForwardedForm = "any"
    """Which headers the trusted proxies write: `x-forwarded`, `forwarded` (RFC 7239), or `any`: then `Forwarded` counts
    in requests without `X-Forwarded-…` only. A proxy that passes on what a client wrote in the other headers needs one
    of the first two."""
    metrics_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks from which /metrics may be read; others get 404. Empty: none, only `metrics_listen` serves metrics."""
    harbor_version: str = Field(default="v2.16.0-roadstead", pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$")
    """The Harbor version in /api/v2.0/systeminfo. Clients such as the Terraform provider decide by it what they send.
    It names the version of Harbor's API, in Harbor's form `v2.16.0-<build>`."""
    tls_certificate_file: Path | None = None
    """PEM chain. With `tls_key_file`: HTTPS, and HTTP/2."""
    tls_key_file: Path | None = None
    """PEM key."""
    ca_certificate_file: Path | None = None
    """PEM file that anybody may download from /api/v2.0/systeminfo/getcert: the authority that clients of this registry
    should trust. It may be replaced at any time. A file with a private key is not given. Empty: there is none, which
    is 404."""
    manifest_cache_bytes: int = Field(default=32 * _MEBIBYTE, ge=0)
    """How many bytes of manifests one process holds, so that metasvc does not send them again. metasvc is still asked
    for each pull. 0: none."""
    limits: Limits = Limits()
    """The limits of requests."""

    @field_validator("blob_directory", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        # So that a variable can take back what the settings file says.
        return None if value == "" else value

    @field_validator("external_url")
    @classmethod
    def _check_external_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/") or parts.query:
            raise ValueError("allowed: http://HOST[:PORT] or https://HOST[:PORT], without a path")
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("token_path")
    @classmethod
    def _check_token_path(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith(("/v2", "/api/")) or any(c in value for c in '?#"\\ '):
            raise ValueError("allowed: an absolute path outside of /v2 and /api, such as /service/token")
        return value

    @field_validator("trusted_proxies", "metrics_networks")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file are set together, or not at all")
        return self


def networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Parses networks that the settings have checked."""
    return tuple(ip_network(text) for text in texts)
