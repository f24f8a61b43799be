"""Lets requests in: who is calling, as far as it can be told at once, and which places and memory they take."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config import SECTION, Limits
from gateway.wire.connections import Connection, Connections
from gateway.wire.credentials import Basic, Bearer
from gateway.wire.measure import HttpMetrics
from svckit.access.authenticate import Authenticator
from svckit.access.principal import ANONYMOUS, Principal
from svckit.errors import DomainError, error_for
from svckit.memory import BodyMemory
from svckit.pace import Pace
from svckit.places import Place, Places, Shares
from svckit.tokens.verifier import TokenVerifier


class Admission:
    """The places and the memory of one gateway process.

    Attributes:
        authenticator: verifies the tokens of callers.
        requests: the places of requests that move no blob.
        streams: the places of uploads and downloads of blobs.
        memory: what bodies that are held as a whole use.
        connections: the open connections.
        whole_pace: what clients must keep to that send or read a body that is held as a whole.
        stream_pace: the same for blobs.
    """

    def __init__(
        self, limits: Limits, verifier: TokenVerifier, metrics: HttpMetrics, is_trusted: Callable[[str], bool]
    ) -> None:
        """Starts with nothing taken.

        Args:
            limits: the settings.
            verifier: verifies the tokens of callers.
            metrics: counts refusals, and shows what is taken.
            is_trusted: whether an address is that of a trusted proxy.
        """
        self.authenticator = Authenticator(SECTION, verifier)
        self.requests = Places(
            "requests",
            Shares(
                limits.requests_in_flight,
                limits.requests_per_subject,
                limits.requests_per_address,
                limits.requests_per_address_without_credentials,
                limits.requests_without_credentials,
            ),
            metrics.refused,
        )
        self.streams = Places(
            "streams",
            Shares(
                limits.streams,
                limits.streams_per_subject,
                limits.streams_per_address,
                limits.streams_per_address_without_credentials,
                limits.streams_without_credentials,
            ),
            metrics.refused,
        )
        self.memory = BodyMemory(limits.body_memory_bytes, limits.body_memory_per_caller_bytes, metrics.refused)
        self.connections = Connections(limits.connections, limits.connections_per_address, is_trusted, metrics.refused)
        rate = limits.body_bytes_per_second
        self.whole_pace = Pace(limits.idle_body_seconds, rate, limits.whole_body_seconds)
        self.stream_pace = Pace(limits.idle_body_seconds, rate, limits.stream_seconds)
        metrics.watch(
            {
                "requests": lambda: self.requests.taken,
                "streams": lambda: self.streams.taken,
                "connections": lambda: self.connections.count,
            },
            lambda: self.memory.held_bytes,
        )


class Visit:
    """What one request takes of an `Admission`, until `leave`.

    Attributes:
        subject: the subject of its caller; None until credentials have been verified, and for anonymous tokens.
    """

    __slots__ = (
        "_address",
        "_admission",
        "_connection",
        "_place",
        "_principal",
        "_releases",
        "_stream",
        "_token_error",
        "subject",
    )

    def __init__(self, admission: Admission, connection: Connection | None) -> None:
        """Takes nothing yet."""
        self._admission = admission
        self._connection = connection
        self._address = ""
        self._place: Place | None = None
        self._stream: Place | None = None
        self._releases: list[Callable[[], None]] = []
        self._principal = ANONYMOUS
        self._token_error: DomainError | None = None
        self.subject: str | None = None
        if connection is not None:
            connection.begin_request()

    @property
    def pace(self) -> Pace:
        """What the client must keep to while it sends or reads a body."""
        return self._admission.whole_pace if self._stream is None else self._admission.stream_pace

    def enter(self, credentials: Basic | Bearer | None, address: str) -> None:
        """Takes a place among the requests. A token is verified first, because it decides which share counts.

        Args:
            credentials: what the request's header holds. A name with a secret is not known to be right yet.
            address: the client's address.

        Raises:
            DomainError: OVERLOADED, TOOMANYREQUESTS.
        """
        self._address = address
        if isinstance(credentials, Bearer):
            try:
                self._know(self._admission.authenticator.bearer(credentials.token))
            except DomainError as error:
                self._token_error = error
        self._place = self._admission.requests.place(self.subject, address)

    def identify(self, token: str) -> None:
        """Says who the caller is, when a name and a secret have been verified and a token was issued for them.

        Raises:
            DomainError: TOOMANYREQUESTS if that caller's share is taken.
        """
        self._know(self._admission.authenticator.bearer(token))
        if self.subject is not None and self._place is not None:
            place = self._admission.requests.place(self.subject, self._address)
            self._place.leave()
            self._place = place

    def require_token(self, repository: str | None = None, action: str = "") -> None:
        """Checks the caller's token before anything of a body is read. The service that is called checks it again.

        Args:
            repository: the repository that a registry token must name; None for any.
            action: the action that it must allow there.

        Raises:
            DomainError: UNAUTHORIZED for an invalid token; INSUFFICIENT_SCOPE.
        """
        if self._token_error is not None:
            raise self._token_error
        token = self._principal.registry
        if repository is None or token is None:
            return
        if token.allowed("repository", repository, action) is None:
            raise error_for("INSUFFICIENT_SCOPE", metadata={"scope": f"repository:{repository}:{action}"})

    def begin_stream(self, subject: str | None = None) -> None:
        """Changes the place among the requests for one among the streams.

        Args:
            subject: the subject of a verified ticket, for a caller whose own token has expired.

        Raises:
            DomainError: OVERLOADED, TOOMANYREQUESTS.
        """
        if self._stream is None:
            self._stream = self._admission.streams.place(self.subject or subject, self._address)
            self.leave_requests()

    def hold(self, size_bytes: int) -> None:
        """Counts memory for a body that is held as a whole, until the request ends.

        Raises:
            DomainError: OVERLOADED, TOOMANYREQUESTS.
        """
        self._releases.append(self._admission.memory.hold(self.subject, size_bytes))

    def receive_much(self) -> None:
        """Receives in large pieces from now on."""
        if self._connection is not None:
            self._connection.receive_much()

    def leave_requests(self) -> None:
        """Frees the place among the requests: the request is answered, and only its remains are waited for."""
        if self._place is not None:
            self._place.leave()

    def leave(self) -> None:
        """Frees everything."""
        self.leave_requests()
        if self._stream is not None:
            self._stream.leave()
        for release in self._releases:
            release()
        self._releases.clear()
        if self._connection is not None:
            self._connection.end_request()

    def _know(self, principal: Principal) -> None:
        self._principal = principal
        subject = principal.known_subject
        if subject is not None:
            self.subject = subject
            if self._connection is not None:
                self._connection.is_known = True
