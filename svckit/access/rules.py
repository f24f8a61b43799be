"""Reads the access rules of the contracts from their descriptors. This is done once, when a method is registered.

A wrong rule (one without a kind, or with a path that names no field) is refused here, so that a server with a wrong
contract does not start. The result is plain data, with functions that read the field from a request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from roadstead.access.v1 import member_pb2, project_ref_pb2, rule_pb2
from svckit.access.decision import ProjectKey
from svckit.errors import FieldViolation, Invalid
from svckit.services import TABLE
from svckit.tokens import ActingToken, Finding, Grant, Receipt, UploadTicket
from svckit.tokens.claims import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from google.protobuf.descriptor import Descriptor, MethodDescriptor
    from google.protobuf.message import Message

Document = type[UploadTicket] | type[Receipt] | type[Grant] | type[Finding]

_PROJECT_REF = project_ref_pb2.ProjectRef.DESCRIPTOR.full_name
_MEMBER_CALL = member_pb2.MemberCall.DESCRIPTOR.full_name
# Only these may say on whose behalf a call is made.
_PASS_CALLS_ON = frozenset(row.name for row in TABLE if row.passes_calls_on)
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

    If `read` is None, the request is about the caller itself. `services` may act for themselves, for every user. A
    robot may call if it holds `robot_action` on users; empty for no robot.
    """

    read: Callable[[Message], int] | None = field(repr=False, compare=False)
    services: frozenset[str] = frozenset()
    robot_action: str = ""


@dataclass(frozen=True, slots=True)
class HolderRule:
    """Holders of the document that `read` finds in the request may call. If `read` is None, it comes in a stream."""

    document: Document
    read: Callable[[Message], str] | None = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EachRule:
    """The services in `callers` may send a batch. Each of its members is a call of its own.

    Attributes:
        callers: the services. They pass on their callers' calls.
        members: the name of the request field with the members.
        member: the rule for the caller of each member. It names no services.
        member_type: the type of a member.
        answer: the type of the answer to a member.
    """

    callers: frozenset[str]
    members: str
    member: ProjectRule
    member_type: Descriptor = field(repr=False)
    answer: type[Message] = field(repr=False)


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
    | EachRule
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
            read = _project_reader(method, _input(method), declared.project.field)
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
        case "each":
            return _each_rule(method, declared.each)
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
        return SelfRule(_user_reader(method, declared.field), services, declared.robot_action)
    if services or declared.robot_action:
        raise RuleError(f"{method.full_name}: a self rule for services or robots must name a field: they are not users")
    return SelfRule(None)


def _holder_rule(method: MethodDescriptor, declared: rule_pb2.AccessRule.Holder) -> HolderRule:
    document = _DOCUMENTS.get(declared.document)
    if document is None:
        raise RuleError(f"{method.full_name}: a holder rule must name a document")
    if not declared.field:
        if not method.client_streaming:
            raise RuleError(f"{method.full_name}: a holder rule must name a field of the request")
        return HolderRule(document, None)
    last = _field_at(method, _input(method), declared.field)
    if last.type != FieldDescriptor.TYPE_STRING:
        raise RuleError(f"{method.full_name}: {declared.field} is not a string, so it cannot be a document")
    return HolderRule(document, attrgetter(declared.field))


def _each_rule(method: MethodDescriptor, declared: rule_pb2.AccessRule.Each) -> EachRule:
    if method.client_streaming != method.server_streaming:
        raise RuleError(f"{method.full_name}: an RPC for batches streams both requests and answers, or neither")
    # If requests are streamed, each of them is a batch.
    members = method.input_type.fields_by_name.get(declared.members)
    if members is None or not members.is_repeated or members.message_type is None:
        raise RuleError(f"{method.full_name}: an each rule must name a repeated field of messages in the request")
    call = members.message_type.fields_by_name.get("call")
    if call is None or call.message_type is None or call.message_type.full_name != _MEMBER_CALL:
        raise RuleError(f"{method.full_name}: {members.message_type.full_name} has no MemberCall named `call`")
    answers = method.output_type.fields_by_name.get("answers")
    kind = None if answers is None or not answers.is_repeated else answers.message_type
    outcomes = set() if kind is None else {each.name for oneof in kind.oneofs for each in oneof.fields}
    if kind is None or not {"error", "come_alone"} <= outcomes:
        raise RuleError(f"{method.full_name}: the response has no answers with `error` and `come_alone` in a oneof")
    if not declared.callers or declared.project.services:
        raise RuleError(f"{method.full_name}: an each rule names the services that call, and its project none")
    resource, action = _right(method, declared.project.resource, declared.project.action)
    read = _project_reader(method, members.message_type, declared.project.field)
    return EachRule(
        _known(method, declared.callers, _PASS_CALLS_ON),
        declared.members,
        ProjectRule(resource, action, read),
        members.message_type,
        GetMessageClass(kind),
    )


def _project_reader(method: MethodDescriptor, message: Descriptor, path: str) -> Callable[[Message], ProjectKey]:
    """The function that finds the project at a path of a message: the request, or a member of it."""
    last = _field_at(method, message, path)
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
    if _field_at(method, _input(method), path).type not in _INTEGERS:
        raise RuleError(f"{method.full_name}: {path} is not a number, so it cannot be a user's id")
    return attrgetter(path)


def _input(method: MethodDescriptor) -> Descriptor:
    """The type of a method's request."""
    if method.client_streaming:
        raise RuleError(f"{method.full_name}: a rule cannot name a request field if requests are streamed")
    message: Descriptor = method.input_type
    return message


def _field_at(method: MethodDescriptor, message: Descriptor, path: str) -> FieldDescriptor:
    """The field at a dotted path of a message. No field of the path may be repeated."""
    inner: Descriptor | None = message
    found: FieldDescriptor | None = None
    for name in path.split("."):
        found = None if inner is None else inner.fields_by_name.get(name)
        if found is None:
            raise RuleError(f"{method.full_name}: {message.full_name} has no field {path!r}")
        if found.is_repeated:
            raise RuleError(f"{method.full_name}: {path} is repeated")
        inner = found.message_type
    if found is None:
        raise RuleError(f"{method.full_name}: an access rule with an empty path")
    return found
