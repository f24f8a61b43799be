from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from roadstead.access.v1 import actor_pb2
from roadstead.meta.v1.project_service_pb2 import ListProjectUsagesRequest
from roadstead.meta.v1.tag_service_pb2 import ListTagHistoryRequest, ListTagsRequest
from svckit.access.actor import Actor
from svckit.access.call import Call
from svckit.access.decision import ResolvedProject
from svckit.convert import (
    authorized_project,
    from_actor,
    from_time,
    held,
    to_digest,
    to_list_request,
    to_reference,
    to_repository_name,
    to_tag,
    to_time,
)
from svckit.errors import DomainError
from svckit.listing import ListRequest

DIGEST = f"sha256:{'a' * 64}"


def test_names_are_read_as_the_spec_has_them() -> None:
    assert str(to_digest(DIGEST)) == DIGEST
    assert to_reference(DIGEST).tag is None
    assert str(to_tag("v1")) == "v1"
    assert str(to_repository_name("library/nginx")) == "library/nginx"


@pytest.mark.parametrize(
    ("parse", "text"), [(to_digest, DIGEST), (to_reference, DIGEST), (to_reference, "v1"), (to_repository_name, "a/b")]
)
def test_a_name_that_is_read_again_is_not_parsed_again(parse: Callable[[str], object], text: str) -> None:
    assert parse(text) is parse("".join(text))


@pytest.mark.parametrize(
    "parse, text, reason",
    [
        (to_digest, "sha256:x", "DIGEST_INVALID"),
        (to_reference, "sha256:x", "DIGEST_INVALID"),
        (to_tag, "-v1", "TAG_INVALID"),
        (to_repository_name, "Library/nginx", "NAME_INVALID"),
    ],
)
def test_a_wrong_name_is_refused_in_the_words_of_the_spec(parse: object, text: str, reason: str) -> None:
    with pytest.raises(DomainError) as refused:
        parse(text)  # type: ignore[operator]
    assert refused.value.reason == reason


def test_a_list_request_says_what_its_message_has_fields_for() -> None:
    whole = ListTagsRequest(q="name=a", sort="-name", page=2, page_size=5, page_token="t", with_total=True)
    assert to_list_request(whole) == ListRequest("name=a", "-name", 2, 5, "t", with_total=True)
    assert to_list_request(ListTagHistoryRequest(page_size=5)) == ListRequest(page_size=5)
    assert to_list_request(ListProjectUsagesRequest()) == ListRequest()


def test_times_keep_their_microseconds_both_ways() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert to_time(from_time(time), "since") == time
    assert from_time(time.astimezone(timezone(timedelta(hours=2)))) == from_time(time)
    assert from_time(None) is None


def test_a_time_that_python_does_not_have_is_refused() -> None:
    with pytest.raises(DomainError) as refused:
        to_time(Timestamp(seconds=10**12), "since")
    assert refused.value.reason == "BAD_REQUEST"
    assert refused.value.violations[0].field == "since"


def test_an_actor_is_written_with_whom_it_acts_for() -> None:
    actor = Actor("service", name="jobsvc", on_behalf_of=Actor("policy", 3, "nightly"))
    assert from_actor(actor) == actor_pb2.Actor(
        kind="service", name="jobsvc", on_behalf_of=actor_pb2.Actor(kind="policy", id=3, name="nightly")
    )
    assert not from_actor(Actor("user", 7, "ann")).HasField("on_behalf_of")


def test_a_servicer_gets_the_project_that_was_judged() -> None:
    call = Call("/roadstead.meta.v1.TagService/ListTags")
    with pytest.raises(DomainError, match="INTERNAL"):
        authorized_project(call)
    call.project = ResolvedProject(1, "library")
    assert authorized_project(call) == ResolvedProject(1, "library")


def test_a_servicer_gets_the_document_that_its_rule_demands() -> None:
    assert held("grant") == "grant"
    with pytest.raises(DomainError) as refused:
        held(None)
    assert refused.value.reason == "INTERNAL"
