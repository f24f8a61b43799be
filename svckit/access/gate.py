"""The rule of one method, prepared for checking every call of the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.access.authorization import (
    ADMINISTRATOR_RIGHT,
    USER,
    authorize_acting,
    authorize_self,
    authorize_service,
    refuse_without_identity,
)
from svckit.access.rules import (
    AuthenticatedRule,
    EachRule,
    FilteredRule,
    HolderRule,
    ProjectRule,
    PublicRule,
    RowRule,
    SelfRule,
    ServiceRule,
    SystemRule,
)
from svckit.tokens import Receipt, UploadTicket
from svckit.tokens.documents import LONGEST_EXPIRED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from svckit.access.call import Call, DocumentReader
    from svckit.access.rules import Rule
    from svckit.tokens import Finding, Grant
    from svckit.tokens.verifier import TokenVerifier

    Admit = Callable[[Call, Message | None], Awaitable[None]]


class Gate:
    """The access check of a method. It is built once for each method, so that each call runs only one small function.

    Attributes:
        rule: the rule in the contract.
        admit: checks a call and its request against the rule (None if requests are streamed); raises DomainError.
        ignores_bad_tokens: whether a bad token in `authorization` is treated as no token. For `public`, and for grants,
            which anonymous callers get for public projects.
        expired_seconds: how long ago a registry token may have expired. For tickets and receipts: an upload goes on
            after the token that began it has expired. `Call.present` checks that it was valid when the upload began.
        ends_checked: whether a call may only succeed if `Call.checked` is true.
        row_right: see `Call`.
        services: see `Call`.
        read_document: see `Call`.
    """

    __slots__ = (
        "admit",
        "ends_checked",
        "expired_seconds",
        "ignores_bad_tokens",
        "read_document",
        "row_right",
        "rule",
        "services",
    )

    def __init__(self, rule: Rule, verifier: TokenVerifier) -> None:
        """Prepares the rule of one method."""
        self.rule = rule
        continues_upload = isinstance(rule, HolderRule) and rule.document in (UploadTicket, Receipt)
        self.ignores_bad_tokens = isinstance(rule, PublicRule | HolderRule) and not continues_upload
        self.expired_seconds = LONGEST_EXPIRED_SECONDS if continues_upload else 0
        self.ends_checked = isinstance(rule, RowRule | HolderRule)
        self.row_right = (rule.resource, rule.action) if isinstance(rule, RowRule) else None
        self.services = (
            rule.services
            if isinstance(rule, ProjectRule | SystemRule | RowRule | SelfRule | FilteredRule)
            else frozenset[str]()
        )
        self.read_document = _document_reader(rule, verifier)
        self.admit = _admission(rule)


def _document_reader(rule: Rule, verifier: TokenVerifier) -> DocumentReader | None:
    if not isinstance(rule, HolderRule):
        return None
    kind = rule.document

    def read(document: str) -> UploadTicket | Receipt | Grant | Finding:
        return verifier.verify(document, kind)

    return read


def _admission(rule: Rule) -> Admit:
    """The function that checks a call against the rule. It is chosen once for each method, not for each call."""
    match rule:
        case PublicRule():
            return _admit_anybody
        case RowRule():
            return _row_admission(rule)
        case FilteredRule():
            return _filtered_admission(rule)
        case AuthenticatedRule():
            return _admit_identities
        case ServiceRule():
            return _service_admission(rule.callers)
        case ProjectRule():
            return _project_admission(rule)
        case SystemRule():
            return _system_admission(rule)
        case SelfRule():
            return _self_admission(rule)
        case HolderRule():
            return _holder_admission(rule)
        case EachRule():
            # `svckit.rpc.members` judges the members.
            return _service_admission(rule.callers)


async def _admit_anybody(_call: Call, _request: Message | None) -> None:
    pass


async def _admit_identities(call: Call, _request: Message | None) -> None:
    await call.check_identity()


def _service_admission(callers: frozenset[str]) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        authorize_service(call.caller_service, callers)

    return admit


def _row_admission(rule: RowRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        # This is checked before the row is loaded, so that a service that may not act here does not learn which rows
        # exist.
        authorize_acting(call.principal, rule.services)

    return admit


def _filtered_admission(rule: FilteredRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        authorize_acting(call.principal, rule.services)
        # A registry token is limited to some repositories, so it must not show everything that its owner may see.
        if call.principal.registry is not None:
            refuse_without_identity(call.principal)

    return admit


def _project_admission(rule: ProjectRule) -> Admit:
    resource, action, read = rule.resource, rule.action, rule.read

    async def admit(call: Call, request: Message | None) -> None:
        await call.check_project(read(_single(request)), resource, action)

    return admit


def _system_admission(rule: SystemRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        await call.check_system(rule.resource, rule.action)

    return admit


def _self_admission(rule: SelfRule) -> Admit:
    read = rule.read

    async def admit(call: Call, request: Message | None) -> None:
        if authorize_acting(call.principal, rule.services):
            return
        if call.principal.kind == "robot" and rule.robot_action:
            await call.check_system(USER, rule.robot_action)
            return
        if not authorize_self(call.principal, None if read is None else read(_single(request))):
            await call.check_system(*ADMINISTRATOR_RIGHT)

    return admit


def _holder_admission(rule: HolderRule) -> Admit:
    read = rule.read
    if read is None:
        return _admit_anybody

    async def admit(call: Call, request: Message | None) -> None:
        call.present(read(_single(request)))

    return admit


def _single(request: Message | None) -> Message:
    if request is None:
        raise TypeError("the rule reads the request, but the requests of this call are streamed")
    return request
