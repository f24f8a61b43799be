"""Reads the metadata of an arriving call, and makes the `Call` from it."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from svckit import logging
from svckit.access.call import Call, NoPermissions, enter_call
from svckit.alone import AloneBecause, ComeAlone
from svckit.errors import DomainError, Invalid
from svckit.services import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import grpc.aio

    from roadstead.access.v1.member_pb2 import MemberCall
    from svckit.access.authenticate import Authenticator
    from svckit.access.call import AccessChecker
    from svckit.access.decision import ProjectDecision, ProjectKey
    from svckit.access.gate import Gate

AUTHORIZATION: Final = "authorization"
SERVICE_TOKEN: Final = "x-roadstead-service"  # noqa: S105 - the name of a header
REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
ACTING_TOKEN: Final = "x-roadstead-acting"  # noqa: S105 - likewise
CLIENT_ADDRESS: Final = "x-roadstead-client-address"

# The services that may state the client's address: the gateway, which sees the client, and the services that pass on
# calls. Other services never call for a client, so an address that they state is not used.
_STATES_CLIENT_ADDRESS: Final = frozenset(row.name for row in TABLE if row.passes_calls_on)
# The address goes into logs and change logs, so it must be short and printable.
_CLIENT_ADDRESS = re.compile(r"[\x21-\x7e]{1,64}")
# The id goes into logs and to other services, so an id from a caller must be short and printable.
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class _AsksNobody(NoPermissions):
    """The `AccessChecker` for members of a batch. The others would wait while authsvc is asked."""

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        raise ComeAlone(AloneBecause.ACCESS)

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        raise ComeAlone(AloneBecause.ACCESS)


_ASKS_NOBODY: Final = _AsksNobody()


class Presented(NamedTuple):
    """The claims of a call about its caller, as they arrived. They must be verified before they are used.

    Attributes:
        authorization: the value of `authorization`; None without one. The next three are None if missing, too.
        service_token: names the service that passes the call on.
        acting_token: names the service that acts for itself. It must be the only token.
        client_address: the client's address, as the calling service states it.
        peer: returns the address of the connection, as gRPC writes it. It is asked only for callers that are no
            service: gRPC makes the text anew each time.
    """

    authorization: str | None
    service_token: str | None
    acting_token: str | None
    client_address: str | None
    peer: Callable[[], str]


class Arrivals:
    """Makes the `Call` of an RPC, and makes it the current one."""

    __slots__ = ("_authenticator", "_checker")

    def __init__(self, authenticator: Authenticator, checker: AccessChecker) -> None:
        """Takes the authenticator, and the checker for permissions."""
        self._authenticator = authenticator
        self._checker = checker

    def receive(self, method: str, gate: Gate, context: grpc.aio.ServicerContext[Any, Any]) -> tuple[Call, Presented]:
        """Makes the call and sets it as the current one; `authenticate` comes next and needs the second value."""
        authorization = service_token = acting_token = client_address = request_id = traceparent = None
        for key, value in context.invocation_metadata() or ():
            if isinstance(value, bytes):
                continue
            if key == AUTHORIZATION:
                authorization = value
            elif key == SERVICE_TOKEN:
                service_token = value
            elif key == REQUEST_ID:
                request_id = value
            elif key == TRACEPARENT:
                traceparent = value
            elif key == ACTING_TOKEN:
                acting_token = value
            elif key == CLIENT_ADDRESS:
                client_address = value
        request_id = _request_id(request_id)
        trace = None if traceparent is None else logging.trace_of(traceparent)
        remaining_seconds: float | None = context.time_remaining()
        call = Call(
            method,
            request_id=request_id,
            traceparent=None if trace is None else traceparent,
            deadline=None if remaining_seconds is None else time.monotonic() + remaining_seconds,
            checker=self._checker,
            row_right=gate.row_right,
            services=gate.services,
            read_document=gate.read_document,
        )
        # These stay set until the task ends. gRPC makes a task for each call, so no other call sees them.
        enter_call(call)
        logging.request_id.set(request_id)
        if trace is not None:
            logging.trace_id.set(trace)
        return call, Presented(authorization, service_token, acting_token, client_address, context.peer)

    def receive_member(self, method: str, gate: Gate, batch: Call, stated: MemberCall) -> Call:
        """Makes the call of a member of a batch. It does not become the current one; `authenticate_member` comes next.

        Args:
            method: the name of the RPC.
            gate: of a member.
            batch: the call that brought the batch, by a service that may pass calls on.
            stated: what that service says about the member's call.
        """
        traceparent = stated.traceparent
        remaining = stated.timeout_milliseconds
        address = stated.client_address
        return Call(
            method,
            caller_service=batch.caller_service,
            request_id=_request_id(stated.request_id),
            traceparent=traceparent if traceparent and logging.trace_of(traceparent) is not None else None,
            client_address=address if _CLIENT_ADDRESS.fullmatch(address) else "",
            deadline=time.monotonic() + remaining / 1000 if remaining else batch.deadline,
            checker=_ASKS_NOBODY,
            services=gate.services,
        )

    def check_again(self, call: Call) -> None:
        """Checks that the token of a call was not revoked since the call came.

        Raises:
            DomainError: UNAUTHORIZED.
        """
        self._authenticator.check_again(call.principal)

    def authenticate_member(self, call: Call, token: str) -> None:
        """Sets the principal of a member's call. Without a token it is anonymous.

        Raises:
            DomainError: UNAUTHORIZED for a bad token.
        """
        if token:
            call.principal, call.token = self._authenticator.bearer(token), token

    def authenticate(self, call: Call, gate: Gate, presented: Presented) -> None:
        """Sets the principal, the calling service and the client's address of a call.

        Raises:
            DomainError: UNAUTHORIZED for a bad token, unless the gate ignores bad tokens. BAD_REQUEST if an acting
                token comes together with another token.
        """
        try:
            self._authenticate_service(call, gate, presented)
        finally:
            # A call that is refused needs it too: it takes a place of its address.
            call.client_address = _client_address(call.caller_service, presented)
        if presented.authorization is not None:
            try:
                call.principal, call.token = self._authenticator.principal(
                    presented.authorization, expired_seconds=gate.expired_seconds
                )
            except DomainError:
                if not gate.ignores_bad_tokens:
                    raise

    def _authenticate_service(self, call: Call, gate: Gate, presented: Presented) -> None:
        if presented.acting_token is not None:
            # A service must not mix its own right with a caller's. A call with both is a mistake or an attack.
            if presented.authorization is not None or presented.service_token is not None:
                raise Invalid(message="an acting token must be the only token of a call")
            try:
                call.principal = self._authenticator.acting(presented.acting_token)
                call.caller_service = call.principal.name
            except DomainError:
                if not gate.ignores_bad_tokens:
                    raise
        if presented.service_token is not None:
            try:
                call.caller_service = self._authenticator.service(presented.service_token)
            except DomainError:
                if not gate.ignores_bad_tokens:
                    raise


def _request_id(stated: str | None) -> str:
    """The id that a caller states, or a new one."""
    return uuid.uuid4().hex if stated is None or _REQUEST_ID.fullmatch(stated) is None else stated


def _client_address(caller_service: str | None, presented: Presented) -> str:
    """The client's address: that of the connection if the caller is the client, else the address that a service states.

    Empty if the service may not state it, or if it is malformed.
    """
    if caller_service is None:
        return _address_of(presented.peer())
    stated = presented.client_address
    if stated is None or caller_service not in _STATES_CLIENT_ADDRESS or _CLIENT_ADDRESS.fullmatch(stated) is None:
        return ""
    return stated


def _address_of(peer: str) -> str:
    """The address in gRPC's "ipv4:127.0.0.1:5000" or "ipv6:%5B::1%5D:5000"; empty for "unix:"."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    # The port is left out, because it differs for every connection.
    return unquote(rest.rpartition(":")[0]).strip("[]")
