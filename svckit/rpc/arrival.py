"""What a call brings along in its metadata, and the `Call` made of it."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Final

from svckit import logging
from svckit.access.call import Call, enter_call
from svckit.errors import DomainError

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

# It goes into logs and on to other services, so a caller's own must be short and plain.
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
# W3C Trace Context, section 3.2.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class Arrivals:
    """Makes the `Call` of an RPC, and makes it the current one."""

    __slots__ = ("_authenticator", "_checker")

    def __init__(self, authenticator: Authenticator, checker: AccessChecker) -> None:
        """Takes who says who calls, and who says what they may."""
        self._authenticator = authenticator
        self._checker = checker

    def receive(
        self, method: str, gate: Gate, context: grpc.aio.ServicerContext[Any, Any]
    ) -> tuple[Call, str | None, str | None]:
        """The call, entered but not authenticated yet, with the values of `authorization` and the service token."""
        authorization = service_token = request_id = traceparent = None
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
        if request_id is None or _REQUEST_ID.fullmatch(request_id) is None:
            request_id = uuid.uuid4().hex
        trace = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
        remaining_seconds: float | None = context.time_remaining()
        call = Call(
            method,
            request_id=request_id,
            traceparent=None if trace is None else traceparent,
            deadline=None if remaining_seconds is None else time.monotonic() + remaining_seconds,
            checker=self._checker,
            row_right=gate.row_right,
            read_document=gate.read_document,
        )
        # Set until the task ends: gRPC has made one for this call alone.
        enter_call(call)
        logging.request_id.set(request_id)
        if trace is not None:
            logging.trace_id.set(trace.group(1))
        return call, authorization, service_token

    def authenticate(self, call: Call, gate: Gate, authorization: str | None, service_token: str | None) -> None:
        """Fills in who calls.

        Raises:
            DomainError: UNAUTHORIZED, for a bad token; unless the gate ignores such.
        """
        if service_token is not None:
            try:
                call.caller_service = self._authenticator.service(service_token)
            except DomainError:
                if not gate.ignores_bad_tokens:
                    raise
        if authorization is not None:
            try:
                call.principal, call.token = self._authenticator.principal(authorization)
            except DomainError:
                if not gate.ignores_bad_tokens:
                    raise
