"""The current call: its caller, tokens and deadline, and what has been checked."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from svckit.access.actor import ChangeOrigin
from svckit.access.authorization import (
    ADMINISTRATOR_RIGHT,
    authorize_acting,
    authorize_authenticated,
    authorize_project,
    authorize_system,
    authorize_upload,
)
from svckit.access.decision import NOT_VISIBLE
from svckit.access.principal import ANONYMOUS
from svckit.errors import Denied, DomainError, NotFound, error_for
from svckit.tokens import Finding, Grant, Receipt, UploadTicket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svckit.access.decision import ProjectDecision, ProjectKey, ResolvedProject
    from svckit.access.principal import Principal
    from svckit.actor import Actor


class AccessChecker(Protocol):
    """The port that tells a service what a caller may do. authsvc asks its store, the other services ask authsvc.

    It answers for `call.principal`: for an identity token, or for an anonymous caller. It is not asked about registry
    tokens, because they contain their permissions. It is not asked what a service that acts for itself may do, because
    the rule says that.
    """

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Whether the caller may do `action` on `resource` in the project.

        Raises:
            DomainError: UNAVAILABLE if the answer cannot be found. Then nothing is allowed.
        """

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Whether the caller may do `action` on `resource` on the system level. Raises as `check_project`."""

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """The project, for a service that acts for itself. Its visibility is not checked.

        Raises:
            DomainError: PROJECT_UNKNOWN if there is none; UNAVAILABLE if the answer cannot be found.
        """


class NoPermissions:
    """An `AccessChecker` that allows nothing: for services that only accept registry tokens and documents."""

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Not allowed, not visible."""
        return NOT_VISIBLE

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Not allowed."""
        return False

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """Finds no project."""
        raise NotFound("PROJECT_UNKNOWN")


class DocumentReader(Protocol):
    """Verifies a document of the kind that the call's rule names."""

    def __call__(self, document: str) -> UploadTicket | Receipt | Grant | Finding:
        """Raises DomainError: TICKET_INVALID, RECEIPT_INVALID, GRANT_INVALID or FINDING_INVALID."""


_NO_PERMISSIONS = NoPermissions()


class Call:
    """One RPC in a service; in the gateway, one HTTP request.

    Attributes:
        method: "/roadstead.meta.v1.TagService/GetTag"; in the gateway, the HTTP method and route.
        principal: the caller.
        caller_service: the service that calls, for itself or passing on a caller's request; None for platform callers.
        token: the caller's own token; `svckit.rpc.channel` passes it on unchanged. Secret.
        request_id: the id of the request in the logs of all services.
        traceparent: the W3C trace context, which is passed on; None without one.
        client_address: the address of the client. A trusted service states it; if no service calls, it is the address
            of the connection. Empty if it is unknown (a unix socket).
        deadline: the value of `time.monotonic()` at which the caller stops waiting; None if it has no deadline.
        project: the project in which this call has been authorized; None if no project was checked.
        ticket: the upload ticket that was presented and verified. The same for `receipt`, `grant` and
            `finding`.
        checked: whether the domain has done the check that the rule leaves to it (`row`, a document in a stream).
    """

    __slots__ = (
        "_checker",
        "_read_document",
        "_row_right",
        "_services",
        "caller_service",
        "checked",
        "client_address",
        "deadline",
        "finding",
        "grant",
        "method",
        "principal",
        "project",
        "receipt",
        "request_id",
        "ticket",
        "token",
        "traceparent",
    )

    def __init__(
        self,
        method: str,
        *,
        principal: Principal = ANONYMOUS,
        caller_service: str | None = None,
        token: str | None = None,
        request_id: str = "",
        traceparent: str | None = None,
        client_address: str = "",
        deadline: float | None = None,
        checker: AccessChecker = _NO_PERMISSIONS,
        row_right: tuple[str, str] | None = None,
        services: frozenset[str] = frozenset(),
        read_document: DocumentReader | None = None,
    ) -> None:
        """Describes a call.

        Args:
            method: see the class, as for the others that are attributes.
            principal: as above.
            caller_service: as above.
            token: as above.
            request_id: as above.
            traceparent: as above.
            client_address: as above.
            deadline: as above.
            checker: answers `check_project` and `check_system`; without one nothing is allowed.
            row_right: the resource and action of a `row` rule. Only a check of these satisfies the rule.
            services: the services that the rule lets act for themselves. For them, a check only finds the project.
            read_document: verifies the document that `present` gets.
        """
        self.method = method
        self.principal = principal
        self.caller_service = caller_service
        self.token = token
        self.request_id = request_id
        self.traceparent = traceparent
        self.client_address = client_address
        self.deadline = deadline
        self.project: ResolvedProject | None = None
        self.ticket: UploadTicket | None = None
        self.receipt: Receipt | None = None
        self.grant: Grant | None = None
        self.finding: Finding | None = None
        self.checked = False
        self._checker = checker
        self._row_right = row_right
        self._services = services
        self._read_document = read_document

    @property
    def actor(self) -> Actor:
        """The actor that a change log records."""
        return self.principal.actor

    @property
    def acts_for_itself(self) -> bool:
        """Whether the caller is a service that acts for itself and that the rule names. It needs no other right."""
        return self.principal.kind == "service" and self.principal.name in self._services

    @property
    def origin(self) -> ChangeOrigin:
        """The data about this call that a change log records."""
        return ChangeOrigin(self.actor, self.request_id, self.client_address, self.principal.token_id)

    async def check_project(self, project: ProjectKey, resource: str, action: str) -> ResolvedProject:
        """Raises unless the caller may do `action` on `resource` in the project. Sets `project`.

        A `row` rule demands this check, with the rule's own resource and action. A service that acts for itself and
        that the rule names may do everything that the RPC does.

        Raises:
            DomainError: INSUFFICIENT_SCOPE, UNAUTHORIZED, PROJECT_UNKNOWN, FORBIDDEN (`svckit.access.authorization`),
                or UNAVAILABLE if the answer cannot be found.
        """
        if authorize_acting(self.principal, self._services):
            self.project = await self._checker.resolve_project(self, project)
        else:
            self.project = await authorize_project(
                self.principal,
                project,
                resource,
                action,
                lambda: self._checker.check_project(self, project, resource, action),
            )
        if (resource, action) == self._row_right:
            self.checked = True
        return self.project

    async def check_system(self, resource: str, action: str) -> None:
        """Raises unless the caller may do `action` on `resource` on the system level. Raises as `check_project`.

        This also satisfies a `row` rule, because a row may belong to no project, for example a system robot.
        """
        if not authorize_acting(self.principal, self._services):
            await authorize_system(self.principal, resource, lambda: self._checker.check_system(self, resource, action))
        if (resource, action) == self._row_right:
            self.checked = True

    async def check_identity(self) -> None:
        """Raises unless the caller is logged in, and may still log in: for what every user and robot may see.

        This also satisfies a `row` rule.

        Raises:
            DomainError: UNAUTHORIZED, INSUFFICIENT_SCOPE, FORBIDDEN (`svckit.access.authorization`), or UNAVAILABLE if
                the answer cannot be found.
        """
        authorize_authenticated(self.principal)
        # The token says who the caller was up to five minutes ago. Any question refuses one who is disabled or gone.
        await self._checker.check_system(self, *ADMINISTRATOR_RIGHT)
        if self._row_right is not None:
            self.checked = True

    def present(self, document: str) -> UploadTicket | Receipt | Grant | Finding:
        """Verifies the document that the rule demands, and stores it as `ticket`, `receipt`, `grant` or `finding`.

        For a stream, the servicer calls this with the document in the header. Otherwise it is called before the
        servicer's method.

        Raises:
            DomainError: TICKET_INVALID, RECEIPT_INVALID, GRANT_INVALID or FINDING_INVALID: forged, expired, of another
                kind, or given to another caller. UNAUTHORIZED or INSUFFICIENT_SCOPE if the caller's token does not go
                with a ticket or receipt (`authorize_upload`).
        """
        if self._read_document is None:
            raise DomainError("INTERNAL", f"the rule of {self.method} demands no document")
        verified = self._read_document(document)
        match verified:
            case UploadTicket():
                authorize_upload(self.principal, verified)
                self.ticket = verified
            case Receipt():
                authorize_upload(self.principal, verified)
                self.receipt = verified
            case Finding():
                self.finding = verified
            case Grant():
                # A grant is bound to its subject, so that a stolen grant does not give access to the blob.
                if verified.subject != self.principal.subject:
                    raise error_for(Grant.refusal)
                self.grant = verified
        self.checked = True
        return verified

    def require_service(self, *services: str) -> None:
        """Raises unless one of the named services calls: for answers that show more to them than to other callers.

        Raises:
            DomainError: FORBIDDEN.
        """
        if self.caller_service not in services:
            raise Denied

    def without_deadline(self) -> Call:
        """The same call without its deadline, for work whose result other calls wait for as well."""
        return Call(
            self.method,
            principal=self.principal,
            caller_service=self.caller_service,
            token=self.token,
            request_id=self.request_id,
            traceparent=self.traceparent,
            client_address=self.client_address,
            checker=self._checker,
            services=self._services,
        )

    def __repr__(self) -> str:
        # The token is left out, because this text goes into logs.
        return f"Call({self.method!r}, {self.principal.subject!r}, via {self.caller_service!r}, {self.request_id!r})"


_current: ContextVar[Call] = ContextVar("roadstead_call")


def current_call() -> Call:
    """The call that this task serves.

    Raises:
        LookupError: outside of any call.
    """
    return _current.get()


def current_call_or_none() -> Call | None:
    """The call that this task serves; None outside of any call."""
    return _current.get(None)


def enter_call(call: Call) -> None:
    """Makes `call` the current one until this task ends. The RPC server uses this: it has a task for each call."""
    _current.set(call)


@contextmanager
def serving(call: Call) -> Iterator[Call]:
    """Makes `call` the current one inside the block: for HTTP requests in the gateway, and for background work."""
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)
