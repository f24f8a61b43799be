"""Reads the access rules of the contracts from their descriptors. This is done once, when a method is registered.

A wrong rule (one without a kind, or with a path that names no field) is refused here, so that a server with a wrong
contract does not start. The result is plain data, with functions that read the field from a request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from roadstead.access.v1 import project_ref_pb2, rule_pb2
from svckit.access.decision import ProjectKey
from svckit.errors import FieldViolation, Invalid
from svckit.tokens import ActingToken, Finding, Grant, Receipt, UploadTicket
from svckit.tokens.claims import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.descriptor import Descriptor, MethodDescriptor
    from google.protobuf.message import Message

Document = type[UploadTicket] | type[Receipt] | type[Grant] | type[Finding]

_PROJECT_REF = project_ref_pb2.ProjectRef.DESCRIPTOR.full_name
_DOCUMENTS: dict[int, Document] = {
    rule_pb2.AccessRule.DOCUMENT_UPLOAD_TICKET: UploadTicket,
    rule_pb2.AccessRule.DOCUMENT_RECEIPT: Receipt,
    rule_pb2.AccessRule.DOCUMENT_GRANT: Grant,
    rule_pb2.AccessRule.DOCUMENT_FINDING: Finding,
}
_INTEGERS = frozenset(
    {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32}
)


class RuleError(ValueError):
    """The rule of a method is missing or wrong; the text names the method and says what is wrong."""


@dataclass(frozen=True, slots=True)
class PublicRule:
    """Anybody may call."""


@dataclass(frozen=True, slots=True)
class AuthenticatedRule:
    """Callers with an identity token may call."""


@dataclass(frozen=True, slots=True)
class FilteredRule:
    """Anybody may call, and sees only what they may see. `services` may act for themselves, and see everything."""

    services: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceRule:
    """The services in `callers` may call."""

    callers: frozenset[str]


@dataclass(frozen=True, slots=True)
class ProjectRule:
    """Callers with the permission in the request's project may call. `services` may act for themselves.

    `read` finds the project in the request, and raises Invalid if there is none.
    """

    resource: str
    action: str
    read: Callable[[Message], ProjectKey] = field(repr=False, compare=False)
    services: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SystemRule:
    """Callers with the permission on the system level may call. `services` may act for themselves."""

    resource: str
    action: str
    services: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RowRule:
    """Callers with the permission in a project that the domain finds may call. `services` may act for themselves."""

    resource: str
    action: str
    services: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SelfRule:
    """The user whose id `read` finds in the request may call, and so may administrators.

    If `read` is None, the request is about the caller itself. `services` may act for themselves, for every user.
    """

    read: Callable[[Message], int] | None = field(repr=False, compare=False)
    services: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HolderRule:
    """Holders of the document that `read` finds in the request may call. If `read` is None, it comes in a stream."""

    document: Document
    read: Callable[[Message], str] | None = field(repr=False, compare=False)


Rule = (
    PublicRule
    | AuthenticatedRule
    | ServiceRule
    | ProjectRule
    | SystemRule
    | RowRule
    | SelfRule
    | FilteredRule
    | HolderRule
)


def read_rule(method: MethodDescriptor) -> Rule:
    """Reads the rule that the contract declares for a method.

    Raises:
        RuleError: there is no rule, or it is wrong.
    """
    options = method.GetOptions()
    if not options.HasExtension(rule_pb2.rule):
        raise RuleError(f"{method.full_name} declares no access rule")
    declared = options.Extensions[rule_pb2.rule]
    match declared.WhichOneof("kind"):
        case "public":
            return PublicRule()
        case "authenticated":
            return AuthenticatedRule()
        case "filtered":
            return FilteredRule(_acting(method, declared.filtered.services))
        case "service":
            if not declared.service.callers:
                raise RuleError(f"{method.full_name}: a service rule must name a service")
            return ServiceRule(_known(method, declared.service.callers, SERVICES))
        case "project":
            resource, action = _right(method, declared.project.resource, declared.project.action)
            read = _project_reader(method, declared.project.field)
            return ProjectRule(resource, action, read, _acting(method, declared.project.services))
        case "system":
            right = _right(method, declared.system.resource, declared.system.action)
            return SystemRule(*right, _acting(method, declared.system.services))
        case "row":
            right = _right(method, declared.row.resource, declared.row.action)
            return RowRule(*right, _acting(method, declared.row.services))
        case "self":
            return _self_rule(method, declared.self)
        case "holder":
            return _holder_rule(method, declared.holder)
        case _:
            raise RuleError(f"{method.full_name}: an access rule without a kind")


def _right(method: MethodDescriptor, resource: str, action: str) -> tuple[str, str]:
    if not resource or not action:
        raise RuleError(f"{method.full_name}: a rule without resource or action")
    return resource, action


def _acting(method: MethodDescriptor, services: Iterable[str]) -> frozenset[str]:
    """The services that a rule lets act for themselves. Only services that sign acting tokens are allowed."""
    return _known(method, services, ActingToken.signers)


def _known(method: MethodDescriptor, services: Iterable[str], known: frozenset[str]) -> frozenset[str]:
    named = frozenset(services)
    unknown = sorted(named - known)
    if unknown:
        raise RuleError(f"{method.full_name}: a rule names {', '.join(unknown)}; allowed: {', '.join(sorted(known))}")
    return named


def _self_rule(method: MethodDescriptor, declared: rule_pb2.AccessRule.Self) -> SelfRule:
    services = _acting(method, declared.services)
    if declared.field:
        return SelfRule(_user_reader(method, declared.field), services)
    if services:
        raise RuleError(f"{method.full_name}: a self rule with services must name a field: a service is not a user")
    return SelfRule(None)


def _holder_rule(method: MethodDescriptor, declared: rule_pb2.AccessRule.Holder) -> HolderRule:
    document = _DOCUMENTS.get(declared.document)
    if document is None:
        raise RuleError(f"{method.full_name}: a holder rule must name a document")
    if not declared.field:
        if not method.client_streaming:
            raise RuleError(f"{method.full_name}: a holder rule must name a field of the request")
        return HolderRule(document, None)
    last = _field_at(method, declared.field)
    if last.type != FieldDescriptor.TYPE_STRING:
        raise RuleError(f"{method.full_name}: {declared.field} is not a string, so it cannot be a document")
    return HolderRule(document, attrgetter(declared.field))


def _project_reader(method: MethodDescriptor, path: str) -> Callable[[Message], ProjectKey]:
    last = _field_at(method, path)
    pick = attrgetter(path)
    if last.type == FieldDescriptor.TYPE_STRING:

        def of_repository(request: Message) -> ProjectKey:
            repository: str = pick(request)
            project, slash, rest = repository.partition("/")
            if not (project and slash and rest):
                raise Invalid(
                    "NAME_INVALID",
                    "a repository is named <project>/<name>",
                    violations=(FieldViolation(path, "a repository name, <project>/<name>"),),
                )
            return ProjectKey(name=project, repository=repository)

        return of_repository
    if last.message_type is not None and last.message_type.full_name == _PROJECT_REF:

        def of_reference(request: Message) -> ProjectKey:
            reference: project_ref_pb2.ProjectRef = pick(request)
            named_by = reference.WhichOneof("ref")
            if named_by == "id" and reference.id > 0:
                return ProjectKey(id=reference.id)
            if named_by == "name" and reference.name:
                return ProjectKey(name=reference.name)
            raise Invalid(
                message="a project is named by its id or its name",
                violations=(FieldViolation(path, "the id or the name of a project"),),
            )

        return of_reference
    raise RuleError(f"{method.full_name}: {path} is neither a ProjectRef nor a repository's name")


def _user_reader(method: MethodDescriptor, path: str) -> Callable[[Message], int]:
    if _field_at(method, path).type not in _INTEGERS:
        raise RuleError(f"{method.full_name}: {path} is not a number, so it cannot be a user's id")
    return attrgetter(path)


def _field_at(method: MethodDescriptor, path: str) -> FieldDescriptor:
    """The field at a dotted path. No field of the path may be repeated."""
    if method.client_streaming:
        raise RuleError(f"{method.full_name}: a rule cannot name a request field if requests are streamed")
    message: Descriptor | None = method.input_type
    found: FieldDescriptor | None = None
    for name in path.split("."):
        found = None if message is None else message.fields_by_name.get(name)
        if found is None:
            raise RuleError(f"{method.full_name}: {method.input_type.full_name} has no field {path!r}")
        if found.is_repeated:
            raise RuleError(f"{method.full_name}: {path} is repeated")
        message = found.message_type
    if found is None:
        raise RuleError(f"{method.full_name}: an access rule with an empty path")
    return found
