"""The gRPC server of a service, as its `server.py` wires it.

    server = RpcServer("metasvc", settings.rpc, verifier=verifier, checker=checker, metrics=metrics)
    server.add(add_TagServiceServicer_to_server, TagServicer(...))
    await serve_until_signal(server)  # svckit.rpc.lifetime

A server with a method that has no access rule does not start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2_grpc

from svckit.access.authenticate import BOTH_KINDS, Authenticator
from svckit.access.call import NoPermissions
from svckit.access.gate import Gate
from svckit.access.rules import EachRule, read_rule
from svckit.bounds import request_check
from svckit.logging import get_logger
from svckit.rpc.address import parse_address
from svckit.rpc.arrival import Arrivals
from svckit.rpc.batches import free_abandoned_batches
from svckit.rpc.handling import HandledMethod
from svckit.rpc.health import HEALTH_SERVICE, Health
from svckit.rpc.held_messages import HeldMessages
from svckit.rpc.late_requests import MAXIMUM_MESSAGE_BYTES, LateRequests
from svckit.rpc.listening import Bindings
from svckit.rpc.members import Members
from svckit.rpc.policy import adds_data, is_long_lived, is_refused_read_only
from svckit.rpc.server_context import ServerContext
from svckit.rpc.server_places import ServerPlaces
from svckit.rpc.shield import settle_shielded
from svckit.rpc.stream_pace import StreamPaces
from svckit.rpc.streams import LongStreams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from svckit.access.authenticate import CallerToken
    from svckit.access.call import AccessChecker
    from svckit.metrics import Metrics
    from svckit.rpc.address import Address
    from svckit.rpc.settings import RpcServerSettings
    from svckit.tokens.verifier import TokenVerifier

S = TypeVar("S")

MAXIMUM_METADATA_BYTES = 64 * 1024
"""Enough for two tokens of 16 KiB and the other metadata. gRPC's default of 8 KiB is less than a token for forty
repositories."""
LOOKAHEAD_BYTES = 1024 * 1024
"""How many unread bytes a stream may buffer, in both directions. It limits a stream's speed on a slow network."""

# More than the requests that four gateways serve at once.
_MAXIMUM_PENDING_CALLS = 5_000
# These two services have no access rule, because their contracts are gRPC's own. They are public on purpose: a health
# check has no credentials, and reflection is only switched on if the contracts are not secret. Their calls do not count
# as in flight, so that health checks also work when the limit is reached.
_REFLECTION_SERVICE = "grpc.reflection.v1alpha.ServerReflection"
_DECLARED_PUBLIC = frozenset({HEALTH_SERVICE, _REFLECTION_SERVICE})

_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
    # Above the soft limit gRPC refuses some calls at random, above the hard limit all. So both are the same.
    ("grpc.max_metadata_size", MAXIMUM_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAXIMUM_METADATA_BYTES),
    # Otherwise two servers could share a port, and each would get half of the calls.
    ("grpc.so_reuseport", 0),
    # The calls that have arrived and that Python has not accepted yet. By default, gRPC cancels some at random above
    # the soft limit (1000), and all above the hard limit (3000), with a status that no client retries. The limit of
    # calls in flight gives a proper answer instead. But each of them holds 10 KiB, also if its client has gone: with
    # 100,000 allowed, a client that opened calls and left took 500 MB in ten seconds.
    ("grpc.server.max_pending_requests", _MAXIMUM_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _MAXIMUM_PENDING_CALLS),
    # How far a sender may be ahead of a reader, on each stream. With gRPC's own probing, this grows until sixteen
    # parallel uploads use 300 MiB. With a fixed value they use 80 MiB, at the same speed.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
    # Pings detect a peer that disappeared in the middle of a stream without closing the connection.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # This time-out also applies to a ping without an answer. gRPC's default is a minute.
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The channels of `svckit.rpc.channel` ping less often than this. More frequent pings are treated as abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)
# How long cancelled handlers may clean up after the drain, before the resources that they use are closed.
_CLEAN_UP_SECONDS = 5.0
_SHIELDED_SECONDS = 30.0

_log = get_logger(__name__)


class RpcServer:
    """Serves the methods of some contracts. Each call is checked against the rule in the contract.

    Attributes:
        service: the name of the service, which is also the domain of its errors.
        addresses: the addresses on which it listens, after `start`, with the ports that the system chose.
        messages: bounds the memory of large messages, also of those that a servicer puts together.
    """

    def __init__(
        self,
        service: str,
        settings: RpcServerSettings,
        *,
        verifier: TokenVerifier,
        metrics: Metrics,
        checker: AccessChecker | None = None,
        caller_tokens: Sequence[CallerToken] = BOTH_KINDS,
    ) -> None:
        """Prepares a server. `start` binds and starts it.

        Args:
            service: the name of the service.
            settings: its addresses and limits.
            verifier: verifies tokens and documents.
            metrics: counts its calls.
            checker: tells what a caller may do; None if only registry tokens and documents are accepted.
            caller_tokens: the kinds of token that callers may use.
        """
        self.service = service
        self.addresses: tuple[Address, ...] = ()
        self._settings = settings
        self._verifier = verifier
        self._places = places = ServerPlaces(settings, metrics.refused_place)
        self._long_streams = LongStreams()
        metrics.watch_rpcs(
            in_flight=lambda: places.calls.taken,
            long_streams=lambda: places.long_streams.taken,
            streams=lambda: places.streams.taken,
        )
        self.messages = HeldMessages(
            settings.message_memory_bytes, settings.message_memory_per_caller_bytes, metrics.refused_place
        )
        self._shared = ServerContext(
            service,
            Arrivals(Authenticator(service, verifier, caller_tokens), checker or NoPermissions()),
            places,
            self._long_streams,
            self.messages,
            metrics,
            settings.access_log,
            StreamPaces(settings),
            LateRequests(self.messages),
        )
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._services: list[str] = []
        self._bindings = Bindings()
        self._server: grpc.aio.Server | None = None
        self._health: Health | None = None

    def add(self, add_to_server: Callable[[S, Any], None], servicer: S) -> None:
        """Registers a servicer by its generated `add_…Servicer_to_server`.

        Raises:
            RuleError: a method's contract has no rule or a wrong one.
            BoundsError: the bounds of a request are wrong.
            TypeError: a method of the servicer is not asynchronous.
        """
        registrar = _Registrar()
        add_to_server(servicer, registrar)
        for service, handlers in registrar.services.items():
            methods = descriptor_pool.Default().FindServiceByName(service).methods_by_name
            for method, original in handlers.items():
                name = f"/{service}/{method}"
                rule = read_rule(methods[method])
                gate = Gate(rule, self._verifier)
                members = unopened = None
                if isinstance(rule, EachRule):
                    members = Members(name, rule, self._verifier, self._shared.arrivals, self.service)
                    unopened = rule.member_type
                check = request_check(methods[method].input_type, unopened=unopened)
                handled = HandledMethod(
                    name,
                    gate,
                    check,
                    original,
                    self._shared,
                    is_long_lived=is_long_lived(methods[method]),
                    adds_data=adds_data(methods[method]),
                    changes=is_refused_read_only(methods[method]),
                    members=members,
                )
                self._handlers[name] = handled.handler()
            self._services.append(service)

    async def start(self) -> None:
        """Binds all addresses and answers calls. Health is NOT_SERVING until `set_serving`.

        Raises:
            ListenError: an address is in use or cannot be used.
            TlsError: plain text is not allowed for an address, or a TLS file cannot be read.
        """
        self._health = Health(self._services)
        self._add_declared_public(health_pb2_grpc.add_HealthServicer_to_server, self._health)
        if self._settings.reflection:
            from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc  # 1 MiB that few servers need

            names = [*self._services, HEALTH_SERVICE, _REFLECTION_SERVICE]
            servicer = reflection.aio.ReflectionServicer(service_names=names)
            self._add_declared_public(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, servicer)
        free_abandoned_batches()
        server = grpc.aio.server(options=list(_OPTIONS))
        try:
            for text in self._settings.listen:
                self._bindings.bind(server, parse_address(text), self._settings.tls)
        except BaseException:
            # gRPC releases its ports only when a started server stops. So the server is started; it has no methods yet.
            await server.start()
            await server.stop(None)
            self._bindings.release()
            raise
        # All methods are in one handler with one table. If each were registered with gRPC, every call would wait on a
        # set with one future for each method.
        server.add_generic_rpc_handlers((_Table(self._handlers),))
        await server.start()
        self._server = server
        self.addresses = tuple(self._bindings.addresses)
        _log.info("rpc_listening", addresses=[str(address) for address in self.addresses])

    def set_serving(self, *, serving: bool = True) -> None:
        """Tells health checks that the server has what it needs, or that it has lost it."""
        if self._health is not None:
            self._health.set_serving(serving=serving)

    def set_condition(self, *, away: tuple[str, ...], is_full: bool) -> None:
        """Tells health checks what the server lacks, and has calls that add data refused while the disk is full.

        Args:
            away: names of what nothing can be served without; it is NOT_SERVING while there is one.
            is_full: whether what adds data is refused. The rest goes on.
        """
        self._shared.is_full = is_full
        if self._health is not None:
            self._health.set_condition(away=away, is_full=is_full)

    def set_read_only(self, read_only: bool | None) -> None:
        """Has calls that change something refused, or not any more. None: until it is known, they are UNAVAILABLE.

        The contracts say which calls these are (`svckit.rpc.policy`).
        """
        reason = None if read_only is False else "UNAVAILABLE" if read_only is None else "READ_ONLY"
        if reason != self._shared.refuses_changes and read_only is not None:
            _log.info("read_only_mode", read_only=read_only)
        self._shared.refuses_changes = reason

    async def wait_until_stopped(self) -> None:
        """Returns when the server has stopped. Raises the error that stopped it, if there was one."""
        if self._server is not None:
            # Shielded, because cancelling this would cancel a future inside gRPC that its own stop waits for, too.
            await asyncio.shield(self._server.wait_for_termination())

    async def drain(self, grace_seconds: float | None = None) -> None:
        """Stops the server. Health is NOT_SERVING, and there are no new calls. Long streams end.

        Calls in flight may go on for `grace_seconds`, then they are cancelled. Shielded work (`svckit.rpc.shield`) is
        waited for. This may be called again with a shorter time, which then applies. It does nothing if the server has
        not started.

        Args:
            grace_seconds: how long calls may go on; by default the setting `drain_seconds`.
        """
        if self._server is None or self._health is None:
            return
        self._health.end()
        self._long_streams.end()
        await self._server.stop(self._settings.drain_seconds if grace_seconds is None else grace_seconds)
        try:
            async with asyncio.timeout(_CLEAN_UP_SECONDS):
                await self._places.wait_until_free()
        except TimeoutError:
            _log.error("handlers_ignore_cancellation", calls=self._places.taken)
        if left := await settle_shielded(_SHIELDED_SECONDS):
            _log.error("shielded_work_abandoned", tasks=left)
        self._bindings.release()

    def _add_declared_public(self, add_to_server: Callable[[S, Any], None], servicer: S) -> None:
        registrar = _Registrar()
        add_to_server(servicer, registrar)
        for service, handlers in registrar.services.items():
            if service not in _DECLARED_PUBLIC:
                raise ValueError(f"{service} is not declared public")
            for method, handler in handlers.items():
                single = not handler.request_streaming
                self._handlers[f"/{service}/{method}"] = self._shared.late.public(handler) if single else handler


class _Registrar:
    """Takes the place of a server in the generated `add_…` functions, and keeps the methods that they register."""

    def __init__(self) -> None:
        self.services: dict[str, Mapping[str, grpc.RpcMethodHandler[Any, Any]]] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Ignored: these are the same methods in another form."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self.services[service_name] = method_handlers


class _Table(grpc.GenericRpcHandler):
    """Finds a method by its full name."""

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)
