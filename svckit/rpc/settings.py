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


class RpcServerSettings(BaseModel):
    """Where a server listens, and how much it takes on at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Annotated[tuple[RpcAddress, ...], Field(min_length=1)]
    """"unix:/path" (107 bytes at most; mode 0600) and "host:port" (0 lets the system choose), one or more."""
    tls: TlsSettings = TlsSettings()
    """For the TCP addresses among them."""
    max_in_flight: Annotated[int, Field(ge=1)] = 256
    """RPCs that are served at once; one more is told to come again. Below the size of what they wait for, such as the
    database pool, or callers wait there instead, without being told."""
    max_long_streams: Annotated[int, Field(ge=1)] = 1000
    """Watches, followed logs and followed reads that are open at once. They take no place among the RPCs in flight."""
    max_long_streams_per_caller: Annotated[int, Field(ge=1)] = 100
    """Of these, those of one user, robot or service; callers without credentials count as one."""
    drain_seconds: Annotated[float, Field(ge=0)] = 20.0
    """How long calls in flight may go on once the server stops. Long streams are ended at once."""
    stream_idle_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long a client may stand still within a stream before the call is ended, with all that it holds."""
    access_log: Literal["off", "debug", "info"] = "debug"
    """The level at which each finished RPC is logged."""
    reflection: bool = False
    """Whether clients may ask for the contracts (grpcurl); for development."""
