"""What a call brings along in its metadata, and the `Call` made of it."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from svckit import logging
from svckit.access.call import Call, enter_call
from svckit.errors import DomainError, Invalid
from svckit.services import TABLE

if TYPE_CHECKING:
    from typing import Any

    import grpc.aio

    from svckit.access.authenticate import Authenticator
    from svckit.access.call import AccessChecker
    from svckit.access.gate import Gate

AUTHORIZATION: Final = "authorization"
SERVICE_TOKEN: Final = "x-roadstead-service"  # noqa: S105 - the name of a header
REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
ACTING_TOKEN: Final = "x-roadstead-acting"  # noqa: S105 - likewise
CLIENT_ADDRESS: Final = "x-roadstead-client-address"

# Who is believed about the client's address: the gateway, which sees the client, and the services that pass on calls.
# The others call for nobody, so an address that one of them states has been made up.
_STATES_CLIENT_ADDRESS: Final = frozenset(row.name for row in TABLE if row.passes_calls_on)
# It goes into logs and change logs.
_CLIENT_ADDRESS = re.compile(r"[\x21-\x7e]{1,64}")
# It goes into logs and on to other services, so a caller's own must be short and plain.
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Presented(NamedTuple):
    """What a call says about who sends it, as it came: nothing of it counts before it has been verified.

    Attributes:
        authorization: the value of `authorization`; None without one, as for the others.
        service_token: says which service passes the call on.
        acting_token: says which service acts for itself; it comes alone.
        client_address: what that service says of the client.
        peer: the address that the connection comes from, as gRPC writes it.
    """

    authorization: str | None
    service_token: str | None
    acting_token: str | None
    client_address: str | None
    peer: str


class Arrivals:
    """Makes the `Call` of an RPC, and makes it the current one."""

    __slots__ = ("_authenticator", "_checker")

    def __init__(self, authenticator: Authenticator, checker: AccessChecker) -> None:
        """Takes who says who calls, and who says what they may."""
        self._authenticator = authenticator
        self._checker = checker

    def receive(self, method: str, gate: Gate, context: grpc.aio.ServicerContext[Any, Any]) -> tuple[Call, Presented]:
        """The call, entered but not authenticated yet, and what `authenticate` needs."""
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
        if request_id is None or _REQUEST_ID.fullmatch(request_id) is None:
            request_id = uuid.uuid4().hex
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
        # Set until the task ends: gRPC has made one for this call alone.
        enter_call(call)
        logging.request_id.set(request_id)
        if trace is not None:
            logging.trace_id.set(trace)
        return call, Presented(authorization, service_token, acting_token, client_address, context.peer())

    def authenticate(self, call: Call, gate: Gate, presented: Presented) -> None:
        """Fills in who calls, and from where.

        Raises:
            DomainError: UNAUTHORIZED, for a bad token; unless the gate ignores such. BAD_REQUEST, for an acting token
                with another one.
        """
        if presented.acting_token is not None:
            # A service does not mix its own right with a caller's: whatever needs both is a mistake, or an attempt.
            if presented.authorization is not None or presented.service_token is not None:
                raise Invalid(message="a service acts for itself, or passes on a call: an acting token comes alone")
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
        call.client_address = _client_address(call.caller_service, presented)
        if presented.authorization is not None:
            try:
                call.principal, call.token = self._authenticator.principal(presented.authorization)
            except DomainError:
                if not gate.ignores_bad_tokens:
                    raise


def _client_address(caller_service: str | None, presented: Presented) -> str:
    """The client's address: of the connection where the caller is the client, else as a service states it."""
    if caller_service is None:
        return _address_of(presented.peer)
    stated = presented.client_address
    if stated is None or caller_service not in _STATES_CLIENT_ADDRESS or _CLIENT_ADDRESS.fullmatch(stated) is None:
        return ""
    return stated


def _address_of(peer: str) -> str:
    """The address in gRPC's "ipv4:127.0.0.1:5000" or "ipv6:%5B::1%5D:5000"; empty for "unix:"."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    # The port is another one for every connection.
    return unquote(rest.rpartition(":")[0]).strip("[]")
