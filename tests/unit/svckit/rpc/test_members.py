"""Each member of a batch is judged, bounded, answered, logged and counted as if it had come alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from google.rpc.status_pb2 import Status

from roadstead.access.v1.member_pb2 import MemberCall
from svckit.alone import AloneBecause, ComeAlone
from svckit.errors import NotFound, error_for
from svckit.errors.status import from_status
from svckit.metrics import Metrics
from tests.harness.stand_ins.access import People
from tests.harness.waiting import wait_until_async
from tests.unit.svckit.rpc.conftest import Log
from tests.unit.svckit.rpc.contract import guarded_pb2
from tests.unit.svckit.rpc.world import REPOSITORY, GuardedServicer, Installation, reason_of

METHOD = "/roadstead.guarded.v1.Guarded/PullAll"
# Every kind of caller, and what it hears: "ok", "alone", or the reason. All of them come in one batch.
CALLERS: dict[str, tuple[Callable[[Installation], str], str]] = {
    "a registry token": (lambda by: by.registry(), "ok"),
    "an anonymous registry token": (lambda by: by.registry("anonymous"), "ok"),
    "a robot's registry token": (lambda by: by.registry("robot:12"), "ok"),
    "a token of another repository": (lambda by: by.registry("user:7", "library/other"), "INSUFFICIENT_SCOPE"),
    "a token for pushing only": (lambda by: by.registry("user:7", REPOSITORY, "push"), "INSUFFICIENT_SCOPE"),
    "an expired token": (lambda by: by.expired(by.registry), "UNAUTHORIZED"),
    "a forged token": (lambda by: by.forged_user(), "UNAUTHORIZED"),
    "nonsense": (lambda _: "x.y.z", "UNAUTHORIZED"),
    "a service token": (lambda by: by.service("gateway"), "UNAUTHORIZED"),
    "an acting token": (lambda by: by.acting("jobsvc"), "UNAUTHORIZED"),
    "no token": (lambda _: "", "alone"),
    "a user": (lambda by: by.user(), "alone"),
    "a robot": (lambda by: by.robot(), "alone"),
    "an administrator": (lambda by: by.user(1, is_admin=True), "alone"),
}


def member(token: str, text: str = "", repository: str = REPOSITORY, **call: Any) -> Any:
    return guarded_pb2.PullAllRequest.Member(call=MemberCall(token=token, **call), repository=repository, text=text)


def heard(answer: Any) -> str:
    match answer.WhichOneof("outcome"):
        case "error":
            # The messages of this contract are of a class of their own.
            return from_status(Status.FromString(answer.error.SerializeToString())).reason
        case "come_alone":
            return "alone"
    return "ok"


@pytest.fixture
def pull_all(stub: Any, installation: Installation) -> Callable[..., Any]:
    async def call(*members: Any, **options: Any) -> list[Any]:
        metadata = [("x-roadstead-service", installation.service("gateway"))]
        answer = await stub.PullAll(guarded_pb2.PullAllRequest(members=members), metadata=metadata, **options)
        return list(answer.answers)

    return call


def counted(metrics: Metrics, code: str) -> float:
    labels = {"service": "metasvc", "method": METHOD, "code": code}
    return metrics.registry.get_sample_value("rpc_server_handled_total", labels) or 0.0


async def test_callers_of_every_kind_in_one_batch_each_hear_their_own_answer(
    pull_all: Any, installation: Installation, people: People
) -> None:
    tokens = {name: token(installation) for name, (token, _) in CALLERS.items()}

    answers = await pull_all(*(member(token, text=str(place)) for place, token in enumerate(tokens.values())))

    assert {name: heard(answer) for name, answer in zip(tokens, answers, strict=True)} == {
        name: expected for name, (_, expected) in CALLERS.items()
    }
    assert [answer.seen.text for answer in answers[:3]] == ["0", "1", "2"]
    assert [answer.seen.subject for answer in answers[:3]] == ["user:7", "anonymous", "robot:12"]
    assert {answer.seen.project_id for answer in answers[:3]} == {1}
    # Nobody waited for authsvc.
    assert people.asked == []


async def test_a_member_without_a_registry_token_is_told_why_it_must_come_alone(
    pull_all: Any, installation: Installation
) -> None:
    [answer] = await pull_all(member(installation.user()))

    assert answer.come_alone == AloneBecause.ACCESS.value


async def test_the_bounds_hold_for_each_member(pull_all: Any, installation: Installation) -> None:
    token = installation.registry()

    answers = await pull_all(member(token, "short"), member(token, "much too long"), member(token, "unreadable"))

    assert [heard(answer) for answer in answers] == ["ok", "TAG_INVALID", "DIGEST_INVALID"]
    names_nothing = await pull_all(member(token, repository="library"), member(token))
    assert [heard(answer) for answer in names_nothing] == ["NAME_INVALID", "ok"]


async def test_a_caller_without_access_learns_nothing_about_its_request(
    pull_all: Any, installation: Installation
) -> None:
    token = installation.registry("user:7", "library/other")

    [answer] = await pull_all(member(token, "much too long"))

    assert heard(answer) == "INSUFFICIENT_SCOPE"


async def test_a_batch_has_a_largest_number_of_members(pull_all: Any, installation: Installation) -> None:
    token = installation.registry()

    assert len(await pull_all(*[member(token)] * 16)) == 16
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pull_all(*[member(token)] * 17)
    assert reason_of(refused.value) == "BAD_REQUEST"


async def test_the_domain_refuses_and_sends_away_single_members(
    pull_all: Any, installation: Installation, servicer: GuardedServicer
) -> None:
    async def work(members: Any) -> Any:
        return [members[0], NotFound("MANIFEST_UNKNOWN"), ComeAlone(AloneBecause.SIZE), members[3]]

    servicer.instead["PullAll"] = work
    token = installation.registry()

    answers = await pull_all(*(member(token, text) for text in "abcd"))

    assert [heard(answer) for answer in answers] == ["ok", "MANIFEST_UNKNOWN", "alone", "ok"]
    assert answers[2].come_alone == AloneBecause.SIZE.value


async def test_no_work_is_done_for_a_batch_whose_members_are_all_refused(
    pull_all: Any, servicer: GuardedServicer
) -> None:
    async def work(members: Any) -> Any:
        raise AssertionError(members)

    servicer.instead["PullAll"] = work

    assert [heard(answer) for answer in await pull_all(member("x.y.z"), member(""))] == ["UNAUTHORIZED", "alone"]
    assert await pull_all() == []


async def test_a_bug_that_one_member_meets_fails_that_member_and_is_logged_under_its_request(
    pull_all: Any, installation: Installation, servicer: GuardedServicer, metrics: Metrics, log: Log
) -> None:
    async def work(members: Any) -> Any:
        return [members[0], None, members[2]]

    servicer.instead["PullAll"] = work
    token = installation.registry()

    answers = await pull_all(*(member(token, text, request_id=f"request-{text}") for text in "abc"))

    assert [heard(answer) for answer in answers] == ["ok", "INTERNAL", "ok"]
    [failure] = [line for line in log() if line["event"] == "rpc_failed"]
    assert (failure["request_id"], failure["method"]) == ("request-b", METHOD)
    assert (counted(metrics, "OK"), counted(metrics, "INTERNAL")) == (2, 1)


async def test_each_member_is_counted_and_logged_for_itself(
    pull_all: Any, installation: Installation, metrics: Metrics, log: Log
) -> None:
    traceparent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    answers = await pull_all(
        member(installation.registry(), request_id="one", traceparent=traceparent),
        member(installation.registry("robot:12"), request_id="two"),
        member(installation.user(), request_id="three"),
        member("x.y.z", request_id="four"),
    )

    lines = [line for line in log() if line["event"] == "rpc"]
    assert [(line["request_id"], line["subject"], line["code"]) for line in lines] == [
        ("one", "user:7", "OK"),
        ("two", "robot:12", "OK"),
        ("three", "user:7", "OK"),
        ("four", "anonymous", "UNAUTHENTICATED"),
    ]
    assert lines[0]["trace_id"] == "ab" * 16
    assert {line["caller_service"] for line in lines} == {"gateway"}
    assert [answer.seen.request_id for answer in answers[:2]] == ["one", "two"]
    assert (counted(metrics, "OK"), counted(metrics, "UNAUTHENTICATED")) == (3, 1)


async def test_when_the_work_fails_every_member_is_counted_with_that_code(
    pull_all: Any, installation: Installation, servicer: GuardedServicer, metrics: Metrics
) -> None:
    async def work(members: Any) -> Any:
        raise error_for("UNAVAILABLE")

    servicer.instead["PullAll"] = work
    token = installation.registry()

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await pull_all(member(token), member(token))

    assert reason_of(failed.value) == "UNAVAILABLE"
    # An error is counted after it was sent.
    await wait_until_async(
        lambda: counted(metrics, "UNAVAILABLE"),
        "both members to be counted",
        wanted=lambda count: count == 2,
        seconds=10,
    )


async def test_what_the_gateway_says_about_a_member_is_checked_as_metadata_is(
    pull_all: Any, installation: Installation
) -> None:
    token = installation.registry()

    good, bad = await pull_all(
        member(token, request_id="r-1", client_address="192.0.2.7"),
        member(token, request_id="with space\n", client_address="not an address\n"),
    )

    assert (good.seen.request_id, good.seen.client_address) == ("r-1", "192.0.2.7")
    assert len(bad.seen.request_id) == 32
    assert bad.seen.client_address == ""


async def test_a_member_whose_caller_waits_no_longer_gets_no_answer_and_the_others_do(
    pull_all: Any, installation: Installation, servicer: GuardedServicer
) -> None:
    async def work(members: Any) -> Any:
        await asyncio.sleep(0.05)
        return members

    servicer.instead["PullAll"] = work
    token = installation.registry()

    answers = await pull_all(member(token, timeout_milliseconds=1), member(token), timeout=10)

    assert [heard(answer) for answer in answers] == ["UNAVAILABLE", "ok"]


async def test_an_answer_to_a_batch_counts_for_the_service_that_sent_it(
    stub: Any, installation: Installation, servicer: GuardedServicer, start_server: Any
) -> None:
    """A caller without credentials has a small share of the memory for answers. A batch is nobody's."""
    held: list[str | None] = []
    server = await start_server(listen=("127.0.0.1:0",))
    memory = server._shared.messages._memory
    hold = memory.hold

    def note(subject: str | None, size_bytes: int) -> Callable[[], None]:
        held.append(subject)
        release: Callable[[], None] = hold(subject, size_bytes)
        return release

    memory.hold = note

    async def work(members: Any) -> Any:
        return [guarded_pb2.Request(data=b"x" * 20_000) for _ in members]

    servicer.instead["PullAll"] = work
    async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
        method = channel.unary_unary(
            METHOD,
            request_serializer=guarded_pb2.PullAllRequest.SerializeToString,
            response_deserializer=guarded_pb2.PullAllResponse.FromString,
        )
        request = guarded_pb2.PullAllRequest(members=[member(installation.registry())])
        await method(request, metadata=[("x-roadstead-service", installation.service("gateway"))])

    assert held == ["service:gateway"]
