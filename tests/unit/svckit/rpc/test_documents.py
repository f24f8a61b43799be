"""Tickets, receipts and grants as rights, and what becomes of a call that ends without its check."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from svckit.access.call import current_call
from svckit.access.decision import ProjectKey
from svckit.actor import Actor
from svckit.keys import KeyPair
from tests.unit.svckit.rpc.conftest import Log
from tests.unit.svckit.rpc.contract import guarded_pb2
from tests.unit.svckit.rpc.world import REPOSITORY, GuardedServicer, Installation, reason_of


def _bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


async def _refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _nothing_of(call)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    return reason_of(refused.value)


async def _nothing_of(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pytest.fail("an answer came before the refusal")
    else:
        await call


async def test_a_document_of_another_kind_expired_or_forged_is_refused(stub: Any, installation: Installation) -> None:
    pusher = _bearer(installation.pusher())
    for document in ("", "x", installation.receipt(), installation.expired(installation.ticket), installation.user()):
        call = stub.FinishUpload(guarded_pb2.Request(document=document), metadata=pusher)
        assert await _refusal(call) == "TICKET_INVALID"
    call = stub.LinkBlob(guarded_pb2.Request(document=installation.ticket()), metadata=pusher)
    assert await _refusal(call) == "RECEIPT_INVALID"
    assert await _refusal(stub.ReadBlob(guarded_pb2.Request(document=installation.receipt()))) == "GRANT_INVALID"


async def test_an_upload_goes_on_with_a_token_that_has_expired_since_it_began(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def tells_upload(request: Any, context: Any) -> Any:
        call = current_call()
        document = call.ticket or call.receipt
        assert document is not None
        return guarded_pb2.Response(text=document.repository, subject=call.principal.subject)

    servicer.instead = {"FinishUpload": tells_upload, "LinkBlob": tells_upload}
    token = _bearer(installation.pusher())
    # The token's last second, with the leeway of clocks.
    installation.now += 1800 + 59
    ticket = installation.ticket(lifetime_seconds=86400)
    installation.now += 86400 - 1
    receipt = installation.receipt(upload_time=int(installation.now) - 86400 + 1)
    answer = await stub.FinishUpload(guarded_pb2.Request(document=ticket), metadata=token)
    assert (answer.text, answer.subject) == (REPOSITORY, "user:7")
    installation.now += 3600 - 60
    answer = await stub.LinkBlob(guarded_pb2.Request(document=receipt), metadata=token)
    assert (answer.text, answer.subject) == (REPOSITORY, "user:7")
    # It counts for nothing else.
    assert await _refusal(stub.AddMember(guarded_pb2.Request(), metadata=token)) == "UNAUTHORIZED"


async def test_a_token_that_expired_before_the_upload_began_does_not_go_on_with_it(
    stub: Any, installation: Installation
) -> None:
    token = _bearer(installation.pusher())
    installation.now += 1800 + 61
    for call in (
        stub.FinishUpload(guarded_pb2.Request(document=installation.ticket()), metadata=token),
        stub.LinkBlob(guarded_pb2.Request(document=installation.receipt()), metadata=token),
    ):
        assert await _refusal(call) == "UNAUTHORIZED"


async def test_an_upload_goes_on_after_authsvc_has_a_new_key(stub: Any, installation: Installation) -> None:
    token = _bearer(installation.pusher())
    ticket = installation.ticket(lifetime_seconds=86400)
    installation.keyring.trust.publish("authsvc", KeyPair.generate())
    installation.now += 20 * 3600
    await stub.FinishUpload(guarded_pb2.Request(document=ticket), metadata=token)


async def test_an_expired_identity_token_links_nothing(stub: Any, installation: Installation) -> None:
    expired = _bearer(installation.expired(installation.user))
    call = stub.LinkBlob(guarded_pb2.Request(document=installation.receipt()), metadata=expired)
    assert await _refusal(call) == "UNAUTHORIZED"


async def test_a_grant_is_good_for_whom_it_was_given_to(stub: Any, installation: Installation) -> None:
    for subject, metadata in (
        ("user:7", _bearer(installation.registry("user:7"))),
        ("anonymous", _bearer(installation.registry("anonymous"))),
        ("anonymous", []),
        ("service:jobsvc", [("x-roadstead-acting", installation.acting("jobsvc"))]),
    ):
        grant = guarded_pb2.Request(document=installation.grant(subject))
        assert [answer async for answer in stub.ReadBlob(grant, metadata=metadata)]


async def test_a_grant_that_was_overheard_opens_nothing(stub: Any, installation: Installation) -> None:
    grant = guarded_pb2.Request(document=installation.grant("user:7"))
    for metadata in (
        [],
        _bearer(installation.registry("user:8")),
        _bearer(installation.registry("anonymous")),
        _bearer(installation.expired(installation.registry)),
        [("x-roadstead-service", installation.service("gateway"))],
        [("x-roadstead-acting", installation.acting("jobsvc"))],
        # On behalf of whoever may: that adds nothing.
        [("x-roadstead-acting", installation.acting("jobsvc", on_behalf_of=Actor("user", 7)))],
    ):
        assert await _refusal(stub.ReadBlob(grant, metadata=metadata)) == "GRANT_INVALID"


async def test_a_services_grant_is_for_the_service_itself_and_not_for_a_call_that_it_passes_on(
    stub: Any, installation: Installation
) -> None:
    grant = guarded_pb2.Request(document=installation.grant("service:jobsvc"))
    for metadata in (
        [],
        [("x-roadstead-service", installation.service("jobsvc"))],
        [*_bearer(installation.registry("user:7")), ("x-roadstead-service", installation.service("jobsvc"))],
        [("x-roadstead-acting", installation.acting("worker"))],
    ):
        assert await _refusal(stub.ReadBlob(grant, metadata=metadata)) == "GRANT_INVALID"


async def test_a_stream_presents_its_ticket_in_its_header(stub: Any, installation: Installation) -> None:
    def requests(document: str) -> Any:
        yield guarded_pb2.Request(document=document)
        yield guarded_pb2.Request(data=b"abc")

    pusher = _bearer(installation.pusher())
    answer = await stub.WriteUpload(requests(installation.ticket()), metadata=pusher)
    assert answer.text == "3"
    assert await _refusal(stub.WriteUpload(requests(installation.grant()), metadata=pusher)) == "TICKET_INVALID"
    assert await _refusal(stub.WriteUpload(requests(installation.ticket()))) == "UNAUTHORIZED"


async def test_a_stream_that_presented_nothing_ends_as_a_fault_of_ours(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.WriteUpload(iter([guarded_pb2.Request(data=b"abc")]))
    assert refused.value.code() is grpc.StatusCode.INTERNAL


async def test_a_row_that_nobody_checked_is_not_shown(stub: Any, installation: Installation, log: Log) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetRobot(guarded_pb2.Request(text="secret"), metadata=_bearer(installation.user(1, is_admin=True)))
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert refused.value.details() == "internal error"
    [line] = [line for line in log() if line["event"] == "rpc_failed"]
    assert "without the check" in line["exception"]


async def test_a_stream_of_rows_sends_nothing_before_its_check(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def checks_too_late(request: Any, context: Any) -> AsyncIterator[Any]:
        yield guarded_pb2.Response(text="secret")
        await current_call().check_project(ProjectKey(id=1), "robot", "read")

    servicer.instead["ListRobots"] = checks_too_late
    call = stub.ListRobots(guarded_pb2.Request(), metadata=_bearer(installation.user()))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _nothing_of(call)
    assert refused.value.code() is grpc.StatusCode.INTERNAL


async def test_a_check_of_another_right_than_the_rules_does_not_count(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def checks_something_else(request: Any, context: Any) -> Any:
        await current_call().check_project(ProjectKey(id=1), "project", "read")
        return guarded_pb2.Response(text="secret")

    servicer.instead["GetRobot"] = checks_something_else
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetRobot(guarded_pb2.Request(), metadata=_bearer(installation.user()))
    assert refused.value.code() is grpc.StatusCode.INTERNAL


async def test_a_row_of_the_system_is_checked_on_the_system_level(
    stub: Any, servicer: GuardedServicer, installation: Installation
) -> None:
    async def checks_system(request: Any, context: Any) -> Any:
        await current_call().check_system("robot", "read")
        return guarded_pb2.Response()

    servicer.instead["GetRobot"] = checks_system
    await stub.GetRobot(guarded_pb2.Request(), metadata=_bearer(installation.user(1, is_admin=True)))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetRobot(guarded_pb2.Request(), metadata=_bearer(installation.user()))
    assert reason_of(refused.value) == "FORBIDDEN"
