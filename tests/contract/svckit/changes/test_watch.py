"""Watch: what a stream sends, and when."""

from dataclasses import replace

import pytest

from metasvc.domain.model import ChangeKind
from roadstead.change.v1.change_pb2 import LogPosition as Position
from tests.contract.svckit.changes.world import (
    CHANGE,
    ChangeWorld,
    next_answer,
    numbered,
    read_revisions,
    refusal,
)
from tests.harness.waiting import WAIT_SECONDS


async def test_the_first_answer_says_where_the_reader_begins(world: ChangeWorld) -> None:
    await world.write(CHANGE, CHANGE)
    call = world.watch()
    first = await next_answer(call)
    assert (list(first.changes), first.position, first.newest_revision) == ([], await world.position(2), 2)

    await world.write(CHANGE)
    second = await next_answer(call)
    assert [change.revision for change in second.changes] == [3]
    assert second.position == await world.position(3)


async def test_a_change_is_sent_as_it_was_written(world: ChangeWorld) -> None:
    update = replace(
        CHANGE, kind=ChangeKind.QUOTA_UPDATE, reference="", digest="", old={"bytes": 2**60}, new={"bytes": None}
    )
    await world.write(CHANGE, update)

    answer = await next_answer(world.watch(await world.position(0)))

    first, second = answer.changes
    assert (first.revision, first.kind, first.project_id, first.resource_id) == (1, "tag_put", 1, 5)
    assert (first.resource_name, first.reference, first.digest) == ("alpha/app", "v1", "sha256:ab")
    assert (first.actor.kind, first.actor.id, first.actor.name) == ("user", 7, "ann")
    assert (first.request_id, first.client_address, first.token_id) == ("request-1", "192.0.2.1", "token-1")
    assert first.time.ToJsonString() == "2026-06-01T12:00:00Z"
    assert (first.old_json, first.new_json) == ("", "")
    assert (second.old_json, second.new_json) == ('{"bytes":1152921504606846976}', '{"bytes":null}')


async def test_a_reader_goes_on_behind_its_position(world: ChangeWorld) -> None:
    await world.write(*numbered(250))
    call = world.watch(await world.position(100))
    assert await read_revisions(call, 150) == list(range(101, 251))
    await world.write(CHANGE)
    assert await read_revisions(call, 1) == [251]


async def test_heartbeats_come_while_nothing_happens_and_move_a_reader_of_something_else_on(
    world: ChangeWorld,
) -> None:
    call = world.watch(kinds=["tag_delete"], heartbeat_seconds=1)
    assert (await next_answer(call)).position.revision == 0
    await world.write(CHANGE, CHANGE)
    moved = await next_answer(call)
    assert (list(moved.changes), moved.position.revision, moved.newest_revision) == ([], 2, 2)
    still = await next_answer(call)
    assert (list(still.changes), still.position) == ([], moved.position)


async def test_only_what_was_asked_for_is_sent(world: ChangeWorld) -> None:
    other_project = replace(CHANGE, project_id=2, resource_name="beta/app")
    other_kind = replace(CHANGE, kind=ChangeKind.TAG_DELETE)
    other_repository = replace(CHANGE, resource_name="alpha/lib")
    # Named as a repository, but none.
    label = replace(CHANGE, kind=ChangeKind.LABEL_CREATE, resource_name="alpha/app")
    start = await world.position()

    async def sent(wanted: int, **fields: object) -> list[int]:
        call = world.watch(start, **fields)
        return await read_revisions(call, wanted)

    live = world.watch(start, project={"name": "alpha"}, repository_name="app", kinds=["tag_put", "label_create"])
    await next_answer(live)
    await world.write(CHANGE, other_project, other_kind, other_repository, label, CHANGE)
    assert await read_revisions(live, 2) == [1, 6]
    live.cancel()

    assert await sent(5, project={"id": 1}) == [1, 3, 4, 5, 6]
    assert await sent(1, project={"name": "beta"}) == [2]
    assert await sent(1, kinds=["tag_delete"]) == [3]
    assert await sent(3, project={"id": 1}, repository_name="app") == [1, 3, 6]
    assert await sent(1, project={"id": 1}, repository_name="lib") == [4]


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"kinds": ["tag_put", "tag_moved"]}, "kinds", "BAD_REQUEST"),
        ({"repository_name": "app"}, "repository_name", "BAD_REQUEST"),
        ({"heartbeat_seconds": 301}, "heartbeat_seconds", "BAD_REQUEST"),
        ({"position": Position(revision=1)}, "position.epoch", "BAD_REQUEST"),
        ({"position": Position(epoch="e", revision=-1)}, "position.revision", "BAD_REQUEST"),
        ({"project": {"id": 1}, "repository_name": "NO"}, "", "NAME_INVALID"),
        ({"project": {"id": 1}, "repository_name": "a\0"}, "", "NAME_INVALID"),
        ({"project": {"id": 99}}, "", "PROJECT_UNKNOWN"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
async def test_a_wrong_request_is_refused(
    world: ChangeWorld, fields: dict[str, object], field: str, reason: str
) -> None:
    refused = await refusal(world.watch(**fields))  # type: ignore[arg-type]
    assert refused.reason == reason
    assert not field or field in [violation.field for violation in refused.violations]


async def test_a_reader_who_must_begin_anew_is_told_so(world: ChangeWorld) -> None:
    await world.write(*numbered(4))
    await world.compact(2)

    other_log = await refusal(world.watch(Position(epoch="another", revision=3)))
    assert (other_log.reason, other_log.metadata["epoch"]) == ("EPOCH_MISMATCH", (await world.position()).epoch)
    too_old = await refusal(world.watch(await world.position(1)))
    assert (too_old.reason, too_old.metadata["oldest_revision"]) == ("REVISION_COMPACTED", "2")
    ahead = await refusal(world.watch(await world.position(5)))
    assert (ahead.reason, ahead.metadata["newest_revision"]) == ("REVISION_AHEAD", "4")
    assert await read_revisions(world.watch(await world.position(2)), 2) == [3, 4]


async def test_a_compaction_takes_nothing_from_a_reader_that_keeps_up(world: ChangeWorld) -> None:
    call = world.watch()
    await next_answer(call)
    for number in range(1, 21):
        await world.write(CHANGE)
        assert await read_revisions(call, 1) == [number]
        await world.compact(number)
    assert await read_revisions(world.watch(await world.position(20)), 0) == []


async def test_a_new_epoch_ends_the_streams_of_the_old_one(world: ChangeWorld) -> None:
    await world.write(CHANGE)
    call = world.watch()
    old = (await next_answer(call)).position
    epoch = await world.renew_epoch()

    refused = await refusal(call)
    assert (refused.reason, refused.metadata["epoch"]) == ("EPOCH_MISMATCH", epoch)
    assert (await refusal(world.watch(old))).reason == "EPOCH_MISMATCH"
    again = world.watch()
    await next_answer(again)
    await world.write(CHANGE)
    assert await read_revisions(again, 1) == [2]


async def test_a_server_that_stops_ends_the_streams_and_says_so(world: ChangeWorld) -> None:
    calls = [world.watch() for _ in range(5)]
    for call in calls:
        await next_answer(call)
    # With no time at all, gRPC may cancel a stream before its last words are sent.
    await world.server.drain(WAIT_SECONDS)
    assert {(await refusal(call)).reason for call in calls} == {"GOING_AWAY"}
    assert world.feed.readers == 0


async def test_a_page_of_changes_says_where_the_next_begins(world: ChangeWorld) -> None:
    await world.write(*numbered(5))
    await world.compact(1)
    request = world.list_request(position=await world.position(1), page_size=3)
    page = await world.stub.ListChanges(request, metadata=world.as_service())
    assert ([change.revision for change in page.changes], page.has_more) == ([2, 3, 4], True)
    assert page.oldest == await world.position(1)

    request.position.CopyFrom(page.position)
    page = await world.stub.ListChanges(request, metadata=world.as_service())
    assert ([change.revision for change in page.changes], page.has_more) == ([5], False)
    assert page.position == await world.position()

    newest = await world.stub.ListChanges(world.list_request(), metadata=world.as_service())
    assert (list(newest.changes), newest.position, newest.has_more) == ([], await world.position(), False)


async def test_pages_find_what_is_rare_in_a_long_log(world: ChangeWorld) -> None:
    rare = replace(CHANGE, kind=ChangeKind.PROJECT_DELETE)
    for _ in range(11):
        await world.write(*numbered(1000))
    await world.write(rare)

    request = world.list_request(position=await world.position(0), kinds=["project_delete"])
    first = await world.stub.ListChanges(request, metadata=world.as_service())
    # Ten thousand were looked through.
    assert (list(first.changes), first.position.revision, first.has_more) == ([], 10_000, True)
    assert await read_revisions(world.watch(await world.position(0), kinds=["project_delete"]), 1) == [11_001]
