"""Settings of an RPC server: a part of each service's own settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from svckit.rpc.address import parse_address
from svckit.rpc.tls import TlsSettings


def _is_address(text: str) -> str:
    parse_address(text)
    return text


RpcAddress = Annotated[str, AfterValidator(_is_address)]
"""`unix:/path` or `host:port`."""

Share = Annotated[float, Field(gt=0, le=1)]
"""A part of a number of places. At least one place belongs to it."""


class RpcServerSettings(BaseModel):
    """The addresses and the limits of a server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Annotated[tuple[RpcAddress, ...], Field(min_length=1)]
    """"unix:/path" (107 bytes at most; mode 0600) and "host:port" (0 lets the system choose), one or more."""
    tls: TlsSettings = TlsSettings()
    """TLS for the TCP addresses in `listen`."""
    max_in_flight: Annotated[int, Field(ge=1)] = 256
    """The most RPCs that are served at once. A further one is refused and may be repeated. Keep this below the size of
    the database pool: otherwise calls wait for a connection instead of being refused."""
    in_flight_share_per_caller: Share = 0.75
    """The part of `max_in_flight` that one user or robot may take; RESOURCE_EXHAUSTED beyond, as for the next three.
    These are parts because the size of the database pool may lower `max_in_flight`. Calls that a service makes for
    itself have no share. The others count for the caller from whom they came, and for its address."""
    in_flight_share_per_address: Share = 0.75
    """The part for the callers with credentials at one address. The gateway states the address of its client."""
    in_flight_share_per_address_without_credentials: Share = 0.5
    """The part for the callers without credentials at one address."""
    in_flight_share_without_credentials: Share = 0.75
    """The part for all callers without credentials together."""
    max_long_streams: Annotated[int, Field(ge=1)] = 1000
    """The most watches, followed logs and followed reads that are open at once. They do not count as in flight."""
    max_long_streams_per_caller: Annotated[int, Field(ge=1)] = 100
    """The most of these for one user or robot, and for all callers without credentials together."""
    max_streams: Annotated[int, Field(ge=1)] = 512
    """The most uploads, downloads and other streams at once. They do not count as in flight either."""
    max_streams_per_caller: Annotated[int, Field(ge=1)] = 128
    """The most of these for one user or robot; RESOURCE_EXHAUSTED beyond, as for the next three."""
    max_streams_per_address: Annotated[int, Field(ge=1)] = 256
    """The most of these for the callers with credentials at one address."""
    max_streams_per_address_without_credentials: Annotated[int, Field(ge=1)] = 128
    """The most of these for the callers without credentials at one address."""
    max_streams_without_credentials: Annotated[int, Field(ge=1)] = 256
    """The most of these for all callers without credentials together."""
    message_memory_bytes: Annotated[int, Field(ge=1024 * 1024)] = 128 * 1024 * 1024
    """The most memory for large requests that are being served, for manifests that arrive in pieces, and for single
    answers that their callers have not read yet; RESOURCE_EXHAUSTED beyond. A request counts until its answer is read.
    """
    message_memory_per_caller_bytes: Annotated[int, Field(ge=1024 * 1024)] = 32 * 1024 * 1024
    """The most of it for one user, robot or service, and for all callers without credentials together. An answer with a
    large manifest counts twice: once as it is read, and once as it is sent."""
    drain_seconds: Annotated[float, Field(ge=0)] = 20.0
    """How long calls in flight may go on after the server begins to stop. Long streams end at once."""
    stream_idle_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long a client may stand still in a stream before the call is ended. A message counts when it is there as a
    whole, so a client needs time for one of 1 MiB."""
    stream_bytes_per_second: Annotated[int, Field(ge=0)] = 1024
    """The least rate of uploads, downloads and other streams. A client that is slower uses up its
    `stream_idle_seconds`. 0: no rate. The gateway has a clock of its own, and this does not hold for its streams."""
    stream_seconds: Annotated[float, Field(gt=0)] = 86400.0
    """The longest time for such a stream. One that the gateway passes on may stand still for so long."""
    access_log: Literal["off", "debug", "info"] = "debug"
    """The level at which each finished RPC is logged."""
    reflection: bool = False
    """Whether clients may ask for the contracts (grpcurl); for development."""
