"""Every field of every request has bounds, and they are enforced."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import access_service_pb2 as access_pb
from roadstead.auth.v1 import robot_service_pb2 as robot_pb
from roadstead.auth.v1 import user_service_pb2 as user_pb
from roadstead.auth.v1.robot_pb2 import RobotAccess, RobotPermission, RobotPermissions
from roadstead.blob.v1 import blob_service_pb2 as blob_pb
from roadstead.meta.v1 import quota_service_pb2 as quota_pb
from roadstead.meta.v1 import repository_service_pb2 as repository_pb
from roadstead.meta.v1 import tag_service_pb2 as tag_pb
from roadstead.meta.v1.quota_pb2 import QuotaResources
from svckit.bounds import FieldBounds, read_bounds, request_check
from svckit.descriptors import INTEGERS, is_map, map_entry
from svckit.errors import DomainError
from tests.harness.contracts import every_rpc

# Their refusals say more than a bound could: RANGE_INVALID tells the size of the blob, or where the upload goes on.
UNBOUNDED = {
    "roadstead.blob.v1.ReadBlobRequest.offset",
    "roadstead.blob.v1.ReadBlobRequest.limit",
    "roadstead.blob.v1.AppendUploadRequest.offset",
    "roadstead.blob.v1.WriteUploadRequest.Header.offset",
    "roadstead.blob.v1.WriteUploadFileRequest.Header.offset",
}
# What clients know of the contracts, written by hand.
KNOWN = {
    "auth.v1.ChangeUserPasswordRequest.new_password": FieldBounds(max_length=128),
    "auth.v1.CreateProjectRequest.name": FieldBounds(max_length=255, reason="NAME_INVALID"),
    "auth.v1.CreateProjectRequest.storage_limit_bytes": FieldBounds(minimum=-1, maximum=2**50),
    "auth.v1.CreateRobotRequest.duration_days": FieldBounds(minimum=-1, maximum=36500),
    "auth.v1.CreateRobotRequest.level": FieldBounds(one_of=("", "project", "system")),
    "auth.v1.CreateUserRequest.comment": FieldBounds(
        max_length=30, pattern=r"[^\x00]*", pattern_text="must not contain U+0000"
    ),
    "auth.v1.CreateUserRequest.idempotency_key": FieldBounds(
        max_length=128, pattern=r"[^\x00-\x1f\x7f]*", pattern_text="must not contain control characters"
    ),
    "auth.v1.GetUserRequest.user_id": FieldBounds(minimum=1, reason="USER_UNKNOWN"),
    "auth.v1.ListUsersRequest.page_size": FieldBounds(minimum=0),
    "auth.v1.ListUsersRequest.page_token": FieldBounds(max_length=4096, reason="INVALID_PAGE_TOKEN"),
    "auth.v1.ListUsersRequest.q": FieldBounds(max_length=4096),
    "blob.v1.AppendUploadRequest.data": FieldBounds(max_length=1024 * 1024),
    "blob.v1.WriteUploadRequest.data": FieldBounds(max_length=4 * 1024 * 1024),
    "meta.v1.CreateTagRequest.name": FieldBounds(max_length=128, reason="TAG_INVALID"),
    "meta.v1.ListProjectUsagesRequest.project_ids": FieldBounds(max_items=1000, items=FieldBounds(minimum=0)),
    "meta.v1.PutManifestRequest.config": FieldBounds(max_length=64 * 1024),
    "meta.v1.PutManifestRequest.repository": FieldBounds(max_length=255, reason="NAME_INVALID"),
    "meta.v1.PutManifestRequest.tags": FieldBounds(
        max_items=100, items=FieldBounds(max_length=128, reason="TAG_INVALID")
    ),
    "meta.v1.ResolveBlobRequest.digest": FieldBounds(max_length=135, reason="DIGEST_INVALID"),
    "meta.v1.UpdateQuotaRequest.hard": FieldBounds(required=True),
    "meta.v1.UpdateRepositoryRequest.description": FieldBounds(
        max_length=65536, pattern=r"[^\x00]*", pattern_text="must not contain U+0000"
    ),
}


# Requests that nobody can mean, and the fields that are wrong.
REFUSED: list[tuple[Message, set[str]]] = [
    (quota_pb.UpdateQuotaRequest(id=1), {"hard"}),
    (quota_pb.UpdateQuotaRequest(id=1, hard=QuotaResources()), {"hard.storage_bytes"}),
    (quota_pb.UpdateQuotaRequest(id=1, hard=QuotaResources(storage_bytes=-2)), {"hard.storage_bytes"}),
    (quota_pb.ListQuotasRequest(reference="user"), {"reference"}),
    (quota_pb.ListQuotasRequest(reference_id="one"), {"reference_id"}),
    (quota_pb.ListQuotasRequest(reference_id="-1"), {"reference_id"}),
    (quota_pb.ListQuotasRequest(reference_id="9" * 19), {"reference_id"}),
    (quota_pb.ListQuotasRequest(reference_id="\N{SUPERSCRIPT TWO}"), {"reference_id"}),
    (quota_pb.ListQuotasRequest(page=-1, page_size=-1), {"page", "page_size"}),
    (user_pb.CreateUserRequest(realname="r" * 256, comment="a\0b"), {"realname", "comment"}),
    (user_pb.UpdateUserRequest(user_id=1, comment="c" * 1025), {"comment"}),
    (user_pb.CreateUserRequest(idempotency_key="k" * 129), {"idempotency_key"}),
    (user_pb.CreateUserRequest(idempotency_key="a\nb"), {"idempotency_key"}),
    (robot_pb.CreateRobotRequest(level="other", duration_days=36501), {"level", "duration_days"}),
    (robot_pb.CreateRobotRequest(description="d" * 1025), {"description"}),
    (
        robot_pb.UpdateRobotRequest(
            robot_id=1,
            permissions=RobotPermissions(permissions=[RobotPermission(access=[RobotAccess(effect="perhaps")])]),
        ),
        {"permissions.permissions[0].access[0].effect"},
    ),
    (access_pb.CheckAccessRequest(project=ProjectRef()), {"project.ref"}),
    (repository_pb.UpdateRepositoryRequest(project=ProjectRef(id=1), description="d" * 65537), {"description"}),
    (tag_pb.ListTagNamesRequest(repository="library/nginx", limit=-1), {"limit"}),
    (blob_pb.DeleteBlobRequest(digest="sha256:x", generation=0), {"generation"}),
]


def _reachable(descriptor: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    if descriptor.full_name in seen or descriptor.full_name.startswith("google."):
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        yield field
        held = map_entry(field)[1].message_type if is_map(field) else field.message_type
        if held is not None:
            yield from _reachable(held, seen)


def _request_fields() -> dict[str, FieldDescriptor]:
    seen: set[str] = set()
    return {field.full_name: field for rpc in every_rpc() for field in _reachable(rpc.method.input_type, seen)}


FIELDS = _request_fields()


def _missing(field: FieldDescriptor, bounds: FieldBounds) -> Iterator[str]:
    """What a value of this type needs and does not have."""
    if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}:
        if bounds.max_length is None and not bounds.one_of:
            yield "max_length"
    elif field.type in INTEGERS and bounds.minimum is None:
        yield "minimum"


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - UNBOUNDED))
def test_every_field_of_a_request_is_bounded(name: str) -> None:
    field, bounds = FIELDS[name], read_bounds(FIELDS[name]) or FieldBounds()
    if not field.is_repeated:
        missing = list(_missing(field, bounds))
    else:
        missing = [] if bounds.max_items is not None else ["max_items"]
        if is_map(field):
            key, value = map_entry(field)
            missing += _missing(key, bounds.keys or FieldBounds())
            missing += _missing(value, bounds.values or FieldBounds())
        else:
            missing += _missing(field, bounds.items or FieldBounds())
    assert not missing, f"{name} needs {', '.join(missing)} in (roadstead.options.v1.bounds): see docs/contracts.md"


@pytest.mark.parametrize("name", KNOWN)
def test_the_bounds_are_those_that_clients_know(name: str) -> None:
    assert read_bounds(FIELDS[f"roadstead.{name}"]) == KNOWN[name]


@pytest.mark.parametrize(("request_", "fields"), REFUSED, ids=[type(request).__name__ for request, _ in REFUSED])
def test_what_nobody_can_mean_is_refused(request_: Message, fields: set[str]) -> None:
    check = request_check(cast("Descriptor", request_.DESCRIPTOR))
    assert check is not None
    with pytest.raises(DomainError) as caught:
        check(request_, request_.ByteSize())
    assert {violation.field for violation in caught.value.violations} == fields


def _beyond(field: FieldDescriptor, bounds: FieldBounds) -> Iterator[Any]:
    """Values of a single field that its bounds do not allow, one for each of them."""
    of_bytes = field.type == FieldDescriptor.TYPE_BYTES
    if bounds.max_length is not None:
        text = "a" * (bounds.max_length + 1)
        yield text.encode() if of_bytes else text
    if bounds.min_length:
        yield b"" if of_bytes else ""
    if bounds.minimum is not None:
        yield bounds.minimum - 1
    if bounds.maximum is not None:
        yield bounds.maximum + 1
    if bounds.one_of:
        yield "\N{SNOWMAN}"
    if bounds.pattern:
        yield "\0"


def _beyond_all(field: FieldDescriptor, bounds: FieldBounds) -> Iterator[Any]:
    """Values of any field that its bounds do not allow, as its message takes them."""
    if is_map(field):
        key, value = map_entry(field)
        yield {str(number): "" for number in range((bounds.max_items or 0) + 1)}
        yield from ({bad: ""} for bad in _beyond(key, bounds.keys or FieldBounds()))
        yield from ({"k": bad} for bad in _beyond(value, bounds.values or FieldBounds()))
    elif field.is_repeated:
        good: Any = {} if field.message_type is not None else 1 if field.type in INTEGERS else ""
        if field.enum_type is not None:
            good = 1
        yield [good] * ((bounds.max_items or 0) + 1)
        yield from ([bad] for bad in _beyond(field, bounds.items or FieldBounds()))
    else:
        yield from _beyond(field, bounds)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if read_bounds(field)])
def test_what_is_beyond_its_bounds_is_refused_with_its_reason(name: str) -> None:
    field, holder = FIELDS[name], FIELDS[name].containing_type
    bounds = read_bounds(field)
    assert bounds is not None
    assert holder is not None
    check, message = request_check(holder), GetMessageClass(holder)
    assert check is not None
    cases: list[Message] = [message(**{field.name: value}) for value in _beyond_all(field, bounds)]
    if bounds.required:
        cases.append(message())
    assert cases
    for case in cases:
        with pytest.raises(DomainError) as caught:
            check(case, case.ByteSize())
        named = [each for each in caught.value.violations if each.field.partition("[")[0] == field.name]
        assert named, caught.value.violations
        reasons = {bounds.reason, *(part.reason for part in (bounds.items, bounds.keys, bounds.values) if part)}
        assert caught.value.reason in reasons or len(caught.value.violations) > len(named)
