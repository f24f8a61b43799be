"""The call that is being served: who called, with what, until when, and what has been checked of it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from svckit.access.actor import ChangeOrigin
from svckit.access.decision import NOT_VISIBLE
from svckit.access.judgement import judge_acting, judge_project, judge_system
from svckit.access.principal import ANONYMOUS
from svckit.errors import Denied, DomainError, NotFound, error_for
from svckit.tokens import Grant, Receipt, UploadTicket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svckit.access.decision import ProjectDecision, ProjectKey, ResolvedProject
    from svckit.access.principal import Principal
    from svckit.actor import Actor


class AccessChecker(Protocol):
    """The port through which a service learns what a caller may do: authsvc from its store, the others from authsvc.

    It answers for `call.principal`, by its identity token or by having none. It is not asked about registry tokens,
    which say for themselves what they permit, nor what a service may do that acts for itself, which the rule says.
    """

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Whether the caller may do `action` on `resource` in the project.

        Raises:
            DomainError: UNAVAILABLE where it cannot be found out. Nothing is allowed then.
        """

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Whether the caller may do `action` on `resource` on the system level. Raises as `check_project`."""

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """The project, for a service that acts for itself: whether or not anybody may see it.

        Raises:
            DomainError: PROJECT_UNKNOWN where there is none; UNAVAILABLE where it cannot be found out.
        """


class NoPermissions:
    """An `AccessChecker` that allows nothing: for services that live by registry tokens and documents alone."""

    async def check_project(self, call: Call, project: ProjectKey, resource: str, action: str) -> ProjectDecision:
        """Not allowed, not visible."""
        return NOT_VISIBLE

    async def check_system(self, call: Call, resource: str, action: str) -> bool:
        """Not allowed."""
        return False

    async def resolve_project(self, call: Call, project: ProjectKey) -> ResolvedProject:
        """Knows none."""
        raise NotFound("PROJECT_UNKNOWN")


class DocumentReader(Protocol):
    """Verifies a document of the kind that the call's rule names."""

    def __call__(self, document: str) -> UploadTicket | Receipt | Grant:
        """Raises DomainError: TICKET_INVALID, RECEIPT_INVALID or GRANT_INVALID."""


_NO_PERMISSIONS = NoPermissions()


class Call:
    """One RPC on its way through a service; or, at the edge, one HTTP request on its way to the services.

    Attributes:
        method: "/roadstead.meta.v1.TagService/GetTag", or the HTTP method and route at the edge.
        principal: who calls.
        caller_service: the service that calls, for itself or passing on a caller's request; None for platform callers.
        token: the caller's own token as it came, passed on unchanged by `svckit.rpc.channel`. Secret.
        request_id: names the request in the logs of all services.
        traceparent: W3C trace context as it came, passed on; None without one.
        client_address: of the client: as a trusted service stated it, or, where no service calls, of the connection;
            empty where it is unknown (a unix socket).
        deadline: `time.monotonic()` at which the caller stops waiting; None where it waits as long as it takes.
        project: the project on which this call has been permitted; None where no project has been judged.
        ticket: the upload ticket that was presented and verified. `receipt` and `grant` likewise.
        checked: whether what the rule leaves to the domain (`row`, a document in a stream) has been done.
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
            checker: answers `check_project` and `check_system`; without one nothing is permitted.
            row_right: the resource and action of a `row` rule, which only a check of these satisfies.
            services: those that the rule lets act for themselves, for whom checks only find the project.
            read_document: verifies what `present` is given.
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
        self.checked = False
        self._checker = checker
        self._row_right = row_right
        self._services = services
        self._read_document = read_document

    @property
    def actor(self) -> Actor:
        """Whom to name in a log of changes."""
        return self.principal.actor

    @property
    def acts_for_itself(self) -> bool:
        """Whether a service calls that acts for itself, and that the rule names: it needs no other right."""
        return self.principal.kind == "service" and self.principal.name in self._services

    @property
    def origin(self) -> ChangeOrigin:
        """What a change log records of this call."""
        return ChangeOrigin(self.actor, self.request_id, self.client_address, self.principal.token_id)

    async def check_project(self, project: ProjectKey, resource: str, action: str) -> ResolvedProject:
        """Permits the caller `action` on `resource` in the project, or raises. Sets `project`.

        Under a `row` rule this is what the rule demands, with the rule's own resource and action. A service that acts
        for itself and that the rule names may do everything that the RPC does.

        Raises:
            DomainError: INSUFFICIENT_SCOPE, UNAUTHORIZED, PROJECT_UNKNOWN, FORBIDDEN (`svckit.access.judgement`), or
                UNAVAILABLE where it cannot be found out.
        """
        if judge_acting(self.principal, self._services):
            self.project = await self._checker.resolve_project(self, project)
        else:
            self.project = await judge_project(
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
        """Permits the caller `action` on `resource` on the system level, or raises as `check_project`.

        It satisfies a `row` rule likewise: a row may belong to no project, as a system robot does.
        """
        if not judge_acting(self.principal, self._services):
            await judge_system(self.principal, resource, lambda: self._checker.check_system(self, resource, action))
        if (resource, action) == self._row_right:
            self.checked = True

    def present(self, document: str) -> UploadTicket | Receipt | Grant:
        """Verifies the document that the rule wants held, and keeps it as `ticket`, `receipt` or `grant`.

        Servicers call it on the header of a stream; elsewhere it has been called when the servicer is reached.

        Raises:
            DomainError: TICKET_INVALID, RECEIPT_INVALID or GRANT_INVALID: forged, expired, of another kind, or a grant
                that was given to somebody else.
        """
        if self._read_document is None:
            raise DomainError("INTERNAL", f"the rule of {self.method} wants no document")
        held = self._read_document(document)
        match held:
            case UploadTicket():
                self.ticket = held
            case Receipt():
                self.receipt = held
            case Grant():
                # Bound to whom it was given: who overhears a grant has not got the blob.
                if held.subject != self.principal.subject:
                    raise error_for(Grant.refusal)
                self.grant = held
        self.checked = True
        return held

    def require_service(self, *services: str) -> None:
        """Permits the named services only: for an answer that holds more for them than for others.

        Raises:
            DomainError: FORBIDDEN.
        """
        if self.caller_service not in services:
            raise Denied

    def without_deadline(self) -> Call:
        """The same caller with the same request, for work that others wait for as well."""
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
        # Without the token: this ends up in logs.
        return f"Call({self.method!r}, {self.principal.subject!r}, via {self.caller_service!r}, {self.request_id!r})"


_current: ContextVar[Call] = ContextVar("roadstead_call")


def current_call() -> Call:
    """The call that this task serves.

    Raises:
        LookupError: outside of any call.
    """
    return _current.get()


def current_call_or_none() -> Call | None:
    """The call that this task serves, or None outside of any."""
    return _current.get(None)


def enter_call(call: Call) -> None:
    """Makes `call` the current one until this task ends: for who has a task for each call, as the RPC server does."""
    _current.set(call)


@contextmanager
def serving(call: Call) -> Iterator[Call]:
    """Makes `call` the current one inside the block: for requests at the edge, and for work of our own."""
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)
