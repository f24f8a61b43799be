"""One method's rule, made ready to be held against every call of the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svckit.access.judgement import (
    ADMINISTRATOR_RIGHT,
    judge_acting,
    judge_authenticated,
    judge_self,
    judge_service,
    refuse_without_identity,
)
from svckit.access.rules import (
    AuthenticatedRule,
    FilteredRule,
    HolderRule,
    ProjectRule,
    PublicRule,
    RowRule,
    SelfRule,
    ServiceRule,
    SystemRule,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from svckit.access.call import Call, DocumentReader
    from svckit.access.rules import Rule
    from svckit.tokens import Grant, Receipt, UploadTicket
    from svckit.tokens.verifier import TokenVerifier

    Admit = Callable[[Call, Message | None], Awaitable[None]]


class Gate:
    """What a method demands. Built once for each method, so that a call costs one function of its own kind.

    Attributes:
        rule: what the contract says.
        admit: holds a call and its request (None where requests are streamed) against the rule; raises DomainError.
        ignores_bad_tokens: whether a bad token in the call's `authorization` is as good as none. For `public` and
            `holder`: an upload goes on by its ticket when the token that began it has expired.
        ends_checked: whether a call must not end well unless `Call.checked` has come true.
        row_right: for the `Call`, see there.
        services: likewise.
        read_document: likewise.
    """

    __slots__ = ("admit", "ends_checked", "ignores_bad_tokens", "read_document", "row_right", "rule", "services")

    def __init__(self, rule: Rule, verifier: TokenVerifier) -> None:
        """Prepares the rule of one method."""
        self.rule = rule
        self.ignores_bad_tokens = isinstance(rule, PublicRule | HolderRule)
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

    def read(document: str) -> UploadTicket | Receipt | Grant:
        return verifier.verify(document, kind)

    return read


def _admission(rule: Rule) -> Admit:
    """The function that admits a call under the rule: chosen here, once, rather than at every call."""
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
            return _service_admission(rule)
        case ProjectRule():
            return _project_admission(rule)
        case SystemRule():
            return _system_admission(rule)
        case SelfRule():
            return _self_admission(rule)
        case HolderRule():
            return _holder_admission(rule)


async def _admit_anybody(_call: Call, _request: Message | None) -> None:
    pass


async def _admit_identities(call: Call, _request: Message | None) -> None:
    judge_authenticated(call.principal)


def _service_admission(rule: ServiceRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        judge_service(call.caller_service, rule.callers)

    return admit


def _row_admission(rule: RowRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        # Before the row is loaded: a service that may not act here is not told which rows there are.
        judge_acting(call.principal, rule.services)

    return admit


def _filtered_admission(rule: FilteredRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        judge_acting(call.principal, rule.services)
        # Narrowed to some repositories, a registry token must not show what else its owner may see.
        if call.principal.registry is not None:
            refuse_without_identity(call.principal)

    return admit


def _project_admission(rule: ProjectRule) -> Admit:
    resource, action, read = rule.resource, rule.action, rule.read

    async def admit(call: Call, request: Message | None) -> None:
        await call.check_project(read(_given(request)), resource, action)

    return admit


def _system_admission(rule: SystemRule) -> Admit:
    async def admit(call: Call, _request: Message | None) -> None:
        await call.check_system(rule.resource, rule.action)

    return admit


def _self_admission(rule: SelfRule) -> Admit:
    read = rule.read

    async def admit(call: Call, request: Message | None) -> None:
        if judge_acting(call.principal, rule.services):
            return
        if not judge_self(call.principal, None if read is None else read(_given(request))):
            await call.check_system(*ADMINISTRATOR_RIGHT)

    return admit


def _holder_admission(rule: HolderRule) -> Admit:
    read = rule.read
    if read is None:
        return _admit_anybody

    async def admit(call: Call, request: Message | None) -> None:
        call.present(read(_given(request)))

    return admit


def _given(request: Message | None) -> Message:
    if request is None:
        raise TypeError("a rule that reads the request met a call that streams its requests")
    return request
