"""One process of a service, from its key to its drain."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from svckit.allocator import RETURN_EVERY_SECONDS, return_free_memory
from svckit.keys import load_or_create
from svckit.metrics import Metrics
from svckit.metrics_endpoint import metrics_endpoint
from svckit.process.loops import Loops
from svckit.process.needs import LOOK_EVERY_SECONDS, Needs
from svckit.process.settings import ProcessSettings
from svckit.rpc.channel import DEFAULT_TIMEOUT_SECONDS, open_channel
from svckit.rpc.lifetime import serve_until_signal
from svckit.services import called_by
from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from svckit.rpc.channel import RpcChannel
    from svckit.rpc.server import RpcServer

S = TypeVar("S", bound=ProcessSettings)
T = TypeVar("T")


class ServiceProcess(Generic[S]):
    """What a service has before it has anything of its own. `open_process` builds it.

    Attributes:
        service: its name.
        settings: its settings.
        metrics: of this process, served at `metrics_listen`.
        trust: the public keys of all services; the own one has been published there.
        signer: signs its tokens.
        service_tokens: say to other services who calls.
        verifier: of tokens and documents.
        loops: its background work, which `serve` starts and ends.
        needs: what it cannot serve without; health says when one of them is away.
    """

    def __init__(self, service: str, settings: S, metrics: Metrics, trust: TrustBundle, signer: TokenSigner) -> None:
        """Puts it together."""
        self.service = service
        self.settings = settings
        self.metrics = metrics
        self.trust = trust
        self.signer = signer
        self.service_tokens = ServiceTokenSource(signer)
        self.verifier = TokenVerifier(trust, registry_audience=settings.token_service)
        self.loops = Loops(metrics)
        self.needs = Needs(metrics)
        self.resources = AsyncExitStack()
        """Closed in the order opposite to that of opening, after the server and the loops have ended."""

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Opens something, such as a store, that is closed when the process ends."""
        return await self.resources.enter_async_context(resource)

    def channel(self, service: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> RpcChannel:
        """A channel that passes on calls to another service, with the caller's own token; closed with the process.

        Args:
            service: which; one that the table of services says it calls.
            timeout_seconds: as `open_channel` says.

        Raises:
            ValueError: the table does not say so; calls could form a circle.
            AddressError: its address is none.
            TlsError: it is not on this machine and would be spoken to in plain text.
        """
        return self._opened(service, self.service_tokens, None, timeout_seconds)

    def acting_channel(self, service: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> RpcChannel:
        """A channel on which this service acts for itself; no caller's token goes along. Otherwise as `channel`."""
        return self._opened(service, None, ActingTokenSource(self.signer, service), timeout_seconds)

    def _opened(
        self,
        service: str,
        service_tokens: ServiceTokenSource | None,
        acting_tokens: ActingTokenSource | None,
        timeout_seconds: float,
    ) -> RpcChannel:
        if service not in called_by(self.service):
            raise ValueError(f"svckit/services.py does not say that {self.service} calls {service}")
        channel = open_channel(
            self.settings.addresses[service],
            service_tokens=service_tokens,
            acting_tokens=acting_tokens,
            tls=self.settings.rpc_tls,
            timeout_seconds=timeout_seconds,
        )
        self.resources.push_async_callback(channel.close)
        return channel

    async def serve(self, server: RpcServer) -> None:
        """Serves RPCs, does the background work and looks at the needs, until SIGTERM or SIGINT; then drains.

        Raises:
            StartError: it cannot serve.
        """
        look = partial(self.needs.look, server)
        if self.needs:
            self.loops.every(LOOK_EVERY_SECONDS, "look_at_needs", look, waits_first=True)
        self.resources.callback(self.needs.close)
        async with self.loops.running():
            await serve_until_signal(server, prepare=look)


@asynccontextmanager
async def open_process(service: str, settings: S, *, moves_bytes: bool = False) -> AsyncIterator[ServiceProcess[S]]:
    """A process while inside: with its key, published in the trust bundle, and its metrics served.

    Args:
        service: its name.
        settings: its settings.
        moves_bytes: whether memory that was freed is given back now and then (`svckit.allocator`).

    Raises:
        StartError: it cannot start.
        OSError: likewise.
    """
    keypair = await asyncio.to_thread(load_or_create, settings.key_file)
    trust = TrustBundle(settings.trust_dir)
    await asyncio.to_thread(trust.publish, service, keypair)
    signer = TokenSigner(service, keypair, registry_audience=settings.token_service)
    process = ServiceProcess(service, settings, Metrics(service), trust, signer)
    if moves_bytes:
        process.loops.every(RETURN_EVERY_SECONDS, "return_free_memory", return_free_memory, waits_first=True)
    # The endpoint goes last: what is to be seen of a drain is seen there.
    async with metrics_endpoint(process.metrics, settings.metrics_listen), process.resources:
        yield process
