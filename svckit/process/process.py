"""The process of a service, from its key to its drain."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from svckit.allocator import RETURN_EVERY_SECONDS, keep_what_the_start_made, return_free_memory
from svckit.keys import load_or_create
from svckit.logging import get_logger
from svckit.metrics import Metrics
from svckit.metrics_endpoint import metrics_endpoint
from svckit.process.loops import Loops
from svckit.process.needs import LOOK_EVERY_SECONDS, Needs
from svckit.process.settings import ProcessSettings
from svckit.process.signing_key import LOOK_EVERY_SECONDS as LOOK_AT_KEY_EVERY_SECONDS
from svckit.process.signing_key import FileVersion, SigningKey
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

_log = get_logger(__name__)

S = TypeVar("S", bound=ProcessSettings)
T = TypeVar("T")


class ServiceProcess(Generic[S]):
    """The parts that every service has. `open_process` builds it.

    Attributes:
        service: the name of the service.
        settings: its settings.
        metrics: the metrics of this process, served at `metrics_listen`.
        trust: the public keys of all services, including its own.
        signer: signs its tokens.
        service_tokens: the tokens that tell other services who calls.
        verifier: verifies tokens and documents.
        loops: its background work, which `serve` starts and ends.
        needs: what it cannot serve without. Health tells when one of them is missing.
    """

    def __init__(self, service: str, settings: S, metrics: Metrics, trust: TrustBundle, signer: TokenSigner) -> None:
        """Builds the parts."""
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
        """Resources that are closed in reverse order after the server and the loops have ended."""

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Opens a resource, such as a store. It is closed when the process ends."""
        return await self.resources.enter_async_context(resource)

    def channel(self, service: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> RpcChannel:
        """A channel that passes on calls, with the caller's own token. It is closed when the process ends.

        Args:
            service: the other service. The table of services must say that this service calls it.
            timeout_seconds: see `open_channel`.

        Raises:
            ValueError: the table does not say so. Otherwise calls could form a circle.
            AddressError: its address is malformed.
            TlsError: plain text is not allowed for its address.
        """
        return self._opened(service, self.service_tokens, None, timeout_seconds)

    def acting_channel(self, service: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> RpcChannel:
        """A channel on which this service acts for itself, without a caller's token. Otherwise as `channel`."""
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
        """Serves RPCs, runs the background work and checks the needs until SIGTERM or SIGINT; then drains.

        Raises:
            StartError: the service cannot serve.
        """
        look = partial(self.needs.look, server)
        if self.needs:
            self.loops.every(LOOK_EVERY_SECONDS, "look_at_needs", look, waits_first=True)
        async with self.running():
            await serve_until_signal(server, prepare=look)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the background work inside the block. For a process that serves no RPCs; `serve` does it for others."""
        self.resources.callback(self.needs.close)
        keep_what_the_start_made()
        async with self.loops.running():
            yield


@asynccontextmanager
async def open_process(service: str, settings: S) -> AsyncIterator[ServiceProcess[S]]:
    """The process of a service: loads its key, publishes it in the trust bundle, and serves its metrics in the block.

    While it serves, it takes up a new key from the key file, and returns free memory to the kernel
    (`svckit.allocator`).

    Args:
        service: the name of the service.
        settings: its settings.

    Raises:
        StartError: the service cannot start.
        OSError: the service cannot start.
    """
    # Looked at first. If the file is replaced meanwhile, the first look of `SigningKey` finds another version. Nobody
    # replaces a file that is only just made: its key is not published yet.
    version = await asyncio.to_thread(FileVersion.of, settings.key_file)
    keypair = await asyncio.to_thread(load_or_create, settings.key_file)
    version = version or await asyncio.to_thread(FileVersion.of, settings.key_file)
    trust = TrustBundle(settings.trust_dir)
    if (known := await asyncio.to_thread(trust.keys_of, service)) and keypair.kid not in {key.kid for key in known}:
        # It is new, or somebody has replaced it. What the old key signed stays valid until it expires.
        _log.warning("key_is_new", key_file=str(settings.key_file), kid=keypair.kid, known_keys=len(known))
    await asyncio.to_thread(trust.publish, service, keypair)
    signer = TokenSigner(service, keypair, registry_audience=settings.token_service)
    process = ServiceProcess(service, settings, Metrics(service), trust, signer)
    key = SigningKey(settings.key_file, version, signer, trust, process.metrics)
    process.loops.every(LOOK_AT_KEY_EVERY_SECONDS, "look_at_key_file", key.look, waits_first=True)
    process.loops.every(RETURN_EVERY_SECONDS, "return_free_memory", return_free_memory, waits_first=True)
    # The metrics endpoint is closed last, so that a drain can be watched.
    async with metrics_endpoint(process.metrics, settings.metrics_listen), process.resources:
        yield process
