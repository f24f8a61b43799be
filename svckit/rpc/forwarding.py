"""The metadata and the deadline that a call passes on to the next service: tokens, ids, the client's address."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from svckit.access.acting import on_behalf_of
from svckit.access.call import current_call_or_none
from svckit.rpc.arrival import ACTING_TOKEN, AUTHORIZATION, CLIENT_ADDRESS, REQUEST_ID, SERVICE_TOKEN, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource

    Metadata = tuple[tuple[str, str | bytes], ...]

# A call without time left is still sent, and fails with DEADLINE_EXCEEDED. So a passed deadline always fails in the
# same way.
_SHORTEST_SECONDS = 0.001


class Forwarding:
    """Makes the metadata and the time-out for the calls of one channel."""

    __slots__ = ("_acting_tokens", "_service_tokens")

    def __init__(
        self, service_tokens: ServiceTokenSource | None = None, acting_tokens: ActingTokenSource | None = None
    ) -> None:
        """Takes the tokens of a service that passes on calls, or of one that acts for itself; none for other clients.

        Raises:
            ValueError: both are given.
        """
        if service_tokens is not None and acting_tokens is not None:
            raise ValueError("a channel either passes on calls or acts for its service, not both")
        self._service_tokens = service_tokens
        self._acting_tokens = acting_tokens

    def metadata(self, explicit: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
        """The metadata of one call. Explicit values take precedence."""
        given = () if explicit is None else tuple(explicit)
        names = {key for key, _ in given}
        carried: list[tuple[str, str | bytes]] = []
        if self._service_tokens is not None and SERVICE_TOKEN not in names:
            carried.append((SERVICE_TOKEN, self._service_tokens.current()))
        acts = self._acting_tokens
        if acts is not None and ACTING_TOKEN not in names:
            carried.append((ACTING_TOKEN, acts.current(on_behalf_of())))
        call = current_call_or_none()
        if call is not None:
            if acts is None and call.token is not None and AUTHORIZATION not in names:
                carried.append((AUTHORIZATION, f"Bearer {call.token}"))
            if call.request_id and REQUEST_ID not in names:
                carried.append((REQUEST_ID, call.request_id))
            if call.traceparent is not None and TRACEPARENT not in names:
                carried.append((TRACEPARENT, call.traceparent))
            # Only services may state the client's address, so other clients do not send it.
            is_service = acts is not None or self._service_tokens is not None
            if is_service and call.client_address and CLIENT_ADDRESS not in names:
                carried.append((CLIENT_ADDRESS, call.client_address))
        return (*given, *carried)

    @staticmethod
    def timeout_seconds(longest_seconds: float) -> float:
        """How long the next call may take: at most `longest_seconds`, and not longer than its own caller waits."""
        call = current_call_or_none()
        if call is None or call.deadline is None:
            return longest_seconds
        return min(longest_seconds, max(call.deadline - time.monotonic(), _SHORTEST_SECONDS))
