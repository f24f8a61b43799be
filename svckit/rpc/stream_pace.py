"""How long the server waits for the clients of its streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from svckit.errors import error_for
from svckit.pace import Pace, Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

    from svckit.access.call import Call
    from svckit.rpc.settings import RpcServerSettings


class StreamPaces:
    """The paces of one server's streams. A message counts when the whole of it has been sent or taken."""

    __slots__ = ("_client", "_long_lived", "_service")

    def __init__(self, settings: RpcServerSettings) -> None:
        """Takes the settings."""
        self._client = Pace(settings.stream_idle_seconds, settings.stream_bytes_per_second, settings.stream_seconds)
        # Little is sent while nothing happens, for as long as the client likes.
        self._long_lived = Pace(settings.stream_idle_seconds, 0)
        # A service that passes on a stream has such a clock for its own client. A second one here, which sees large
        # messages instead of small pieces, could end a stream that is fast enough for the first. Pings find out when
        # the service itself has gone.
        self._service = Pace(settings.stream_seconds, 0)

    def of(self, call: Call, *, is_long_lived: bool) -> Pace:
        """What the caller of a stream must keep to."""
        if is_long_lived:
            return self._long_lived
        return self._client if call.caller_service is None else self._service


class PacedRequests:
    """The requests of a stream. Waiting for each uses up the client's time."""

    __slots__ = ("_again", "_first", "_patience", "_requests", "_source")

    def __init__(
        self,
        requests: AsyncIterable[Any],
        pace: Pace,
        first: Callable[[Awaitable[Any]], Awaitable[Any]] | None = None,
        again: Callable[[], None] = lambda: None,
    ) -> None:
        """Wraps the requests that gRPC reads.

        Args:
            requests: the requests.
            pace: what the client must keep to.
            first: waits for the first one, which says whose stream it is.
            again: is called with each one, and raises if the caller may not go on.
        """
        self._first = first
        self._again = again
        # gRPC's iterator begins with the first request: one that was made and never used is a warning of Python.
        self._source = requests
        self._requests: AsyncIterator[Any] | None = None
        self._patience = Patience(pace)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next request.

        Raises:
            DomainError: REQUEST_TIMEOUT, the client has used up its time; what `first` and `again` raise.
        """
        if self._requests is None:
            self._requests = aiter(self._source)
        try:
            arrival: Awaitable[Any] = self._patience.wait_for(anext(self._requests, None))
            if self._first is not None:
                first, self._first = self._first, None
                arrival = first(arrival)
            request = await arrival
        except TimeoutError:
            raise error_for("REQUEST_TIMEOUT") from None
        if request is None:
            raise StopAsyncIteration
        self._again()
        self._patience.earn(request.ByteSize())
        return request
