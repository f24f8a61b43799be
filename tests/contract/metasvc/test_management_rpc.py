"""Repeats, etags and actors of the management plane over gRPC."""

from collections.abc import AsyncIterator, Awaitable

import pytest

from roadstead.access.v1.actor_pb2 import Actor
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.meta.v1.quota_pb2 import QuotaResources
from roadstead.meta.v1.quota_service_pb2 import GetQuotaRequest, UpdateQuotaRequest
from roadstead.meta.v1.quota_service_pb2_grpc import QuotaServiceStub
from roadstead.meta.v1.repository_service_pb2 import GetRepositoryRequest, UpdateRepositoryRequest
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceStub
from roadstead.meta.v1.tag_service_pb2 import CreateTagRequest, ListTagHistoryRequest
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceStub
from svckit.access.actor import Actor as DomainActor
from svckit.errors import DomainError
from tests.contract.metasvc.remote import Remote, serving
from tests.contract.metasvc.world import World, image
from tests.harness.keyring import bearer

ALPHA = ProjectRef(name="alpha")
USER = 7


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    await world.push("alpha/app", image("one"), "v1")
    async with serving(world) as served:
        for resource, action in (
            ("tag", "create"),
            ("tag", "list"),
            ("repository", "read"),
            ("repository", "update"),
            ("quota", "read"),
        ):
            served.permissions.allowed.add((USER, "alpha", resource, action))
        served.permissions.allowed.add((USER, "", "quota", "update"))
        served.permissions.visible.add((USER, "alpha"))
        yield served


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


def create(name: str, key: str) -> CreateTagRequest:
    return CreateTagRequest(project=ALPHA, repository_name="app", reference="v1", name=name, idempotency_key=key)


async def test_a_repeated_create_answers_as_the_first_did(remote: Remote, world: World) -> None:
    tags, caller = TagServiceStub(remote.channel), bearer(remote.keyring.identity_token(USER))
    made = await tags.CreateTag(create("new", "k-1"), metadata=caller)
    assert await tags.CreateTag(create("new", "k-1"), metadata=caller) == made
    assert await reason_of(tags.CreateTag(create("other", "k-1"), metadata=caller)) == "CONFLICT"
    assert await reason_of(tags.CreateTag(create("new", "k-2"), metadata=caller)) == "CONFLICT"
    assert await world.value("SELECT count(*) FROM tag WHERE name = 'other'") == 0


async def test_the_right_is_judged_again_for_a_repeat(remote: Remote) -> None:
    tags, caller = TagServiceStub(remote.channel), bearer(remote.keyring.identity_token(USER))
    await tags.CreateTag(create("new", "k-1"), metadata=caller)
    remote.permissions.allowed.remove((USER, "alpha", "tag", "create"))
    assert await reason_of(tags.CreateTag(create("new", "k-1"), metadata=caller)) == "FORBIDDEN"


async def test_a_key_of_one_caller_says_nothing_to_another(remote: Remote) -> None:
    tags = TagServiceStub(remote.channel)
    remote.permissions.allowed.add((8, "alpha", "tag", "create"))
    await tags.CreateTag(create("new", "k-1"), metadata=bearer(remote.keyring.identity_token(USER)))
    made = await tags.CreateTag(create("other", "k-1"), metadata=bearer(remote.keyring.identity_token(8)))
    assert made.tag.name == "other"


async def test_a_move_says_who_moved_the_tag(remote: Remote, world: World) -> None:
    tags, caller = TagServiceStub(remote.channel), bearer(remote.keyring.identity_token(USER))
    await tags.CreateTag(create("new", ""), metadata=caller)
    request = ListTagHistoryRequest(project=ALPHA, repository_name="app", tag_name="new", with_total=True)
    answer = await tags.ListTagHistory(request, metadata=caller)
    assert [move.actor for move in answer.moves] == [Actor(kind="user", id=USER, name="user7")]
    assert answer.total_size == 1
    # What the log has beside it: which request it was, and by which token.
    origin = (await world.changes())[-1].change.origin
    assert origin.actor == DomainActor("user", USER, "user7")
    assert origin.request_id
    assert origin.token_id


async def test_a_description_that_is_not_sent_stays(remote: Remote) -> None:
    repositories, caller = RepositoryServiceStub(remote.channel), bearer(remote.keyring.identity_token(USER))

    def update(**fields: str) -> UpdateRepositoryRequest:
        return UpdateRepositoryRequest(project=ALPHA, repository_name="app", **fields)

    first = (await repositories.UpdateRepository(update(description="text"), metadata=caller)).repository
    assert (await repositories.UpdateRepository(update(), metadata=caller)).repository == first
    assert (await repositories.UpdateRepository(update(description=""), metadata=caller)).repository.description == ""
    stale = update(description="more", etag=first.etag)
    assert await reason_of(repositories.UpdateRepository(stale, metadata=caller)) == "PRECONDITION"
    request = GetRepositoryRequest(project=ALPHA, repository_name="app")
    now = (await repositories.GetRepository(request, metadata=caller)).repository
    fresh = update(description="more", etag=now.etag)
    assert (await repositories.UpdateRepository(fresh, metadata=caller)).repository.description == "more"


async def test_a_quota_is_changed_from_what_was_read(remote: Remote) -> None:
    quotas, caller = QuotaServiceStub(remote.channel), bearer(remote.keyring.identity_token(USER))
    read = (await quotas.GetQuota(GetQuotaRequest(id=1), metadata=caller)).quota

    def update(storage_bytes: int) -> UpdateQuotaRequest:
        return UpdateQuotaRequest(id=1, hard=QuotaResources(storage_bytes=storage_bytes), etag=read.etag)

    changed = (await quotas.UpdateQuota(update(50_000), metadata=caller)).quota
    assert (changed.hard.storage_bytes, changed.etag != read.etag) == (50_000, True)
    assert await reason_of(quotas.UpdateQuota(update(60_000), metadata=caller)) == "PRECONDITION"
