"""The change log has every change of a tag, so a reader of the log knows what the tables say."""

import asyncio
import random

import pytest

from metasvc.domain.artifact import delete_named_artifact
from metasvc.domain.artifact_tag import create_tag, delete_tag
from metasvc.domain.model import ChangeKind
from metasvc.domain.repository import delete_repository
from svckit.errors import DomainError
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import ORIGIN, Image, World, image, index

REPOSITORIES = ("alpha/app", "alpha/lib")
TAGS = ("v1", "v2", "v3")
STEPS = 120

State = dict[tuple[str, str], str]


async def tags_by_table(world: World) -> State:
    rows = await world.rows(
        "SELECT repository.name AS repository, tag.name, artifact.digest FROM tag"
        " JOIN artifact ON artifact.id = tag.artifact_id JOIN repository ON repository.id = tag.repository_id"
    )
    return {(row.repository, row.name): row.digest for row in rows}


async def tags_by_log(world: World) -> State:
    state: State = {}
    for entry in await world.changes():
        change = entry.change
        match change.kind:
            case ChangeKind.TAG_PUT:
                state[change.resource_name, change.reference] = change.digest
            case ChangeKind.TAG_DELETE:
                assert state.pop((change.resource_name, change.reference)) == change.digest
            case ChangeKind.MANIFEST_DELETE:
                left = [digest for (name, _), digest in state.items() if name == change.resource_name]
                assert change.digest not in left, "an artifact went before its tags"
            case ChangeKind.REPOSITORY_DELETE:
                state = {key: digest for key, digest in state.items() if key[0] != change.resource_name}
            case _:
                pass
    return state


async def step(world: World, chance: random.Random, images: list[Image]) -> None:
    """Does one of the things that move or delete tags."""
    repository, tag, other, pushed = (
        chance.choice(REPOSITORIES),
        chance.choice(TAGS),
        chance.choice(TAGS),
        chance.choice(images),
    )
    reference = Reference.parse(chance.choice((tag, pushed.digest)))
    match chance.randrange(16):
        case 0 | 1 | 2 | 3 | 4 | 5:
            await world.push(repository, pushed, tag)
        case 6 | 7:
            await world.put(repository, pushed, tags=TAGS[:2])
        case 8 | 9:
            await create_tag(
                world.ports, project_id=1, repository=repository, reference=reference, name=other, origin=ORIGIN
            )
        case 10 | 11:
            await delete_tag(
                world.ports, project_id=1, repository=repository, reference=reference, name=other, origin=ORIGIN
            )
        case 12 | 13:
            await world.delete(repository, str(reference))
        case 14:
            await delete_named_artifact(
                world.ports, project_id=1, repository=repository, reference=reference, origin=ORIGIN
            )
        case _:
            await delete_repository(world.ports, project_id=1, name=repository, origin=ORIGIN)


@pytest.mark.parametrize("seed", [1, 2])
async def test_who_follows_the_log_has_the_tags_of_the_tables(world: World, seed: int) -> None:
    chance = random.Random(seed)
    parts = [image("amd"), image("arm")]
    images = [*parts, index(parts), image("other")]
    for _ in range(STEPS // 4):
        # Several at once, so that they meet each other's locks.
        results = await asyncio.gather(*(step(world, chance, images) for _ in range(4)), return_exceptions=True)
        for result in results:
            assert result is None or isinstance(result, DomainError), result
    assert await tags_by_log(world) == await tags_by_table(world)
    kinds = {entry.change.kind for entry in await world.changes()}
    assert {
        ChangeKind.TAG_PUT,
        ChangeKind.TAG_DELETE,
        ChangeKind.MANIFEST_DELETE,
        ChangeKind.REPOSITORY_DELETE,
    } <= kinds


async def test_the_history_of_a_tag_has_the_revisions_of_its_changes(world: World) -> None:
    for number in range(3):
        await world.push("alpha/app", image(f"i{number}"), "v1")
    await world.delete("alpha/app", image("i2").digest)
    moved = [
        (entry.revision, entry.change.digest if entry.change.kind is ChangeKind.TAG_PUT else "")
        for entry in await world.changes()
        if entry.change.kind in (ChangeKind.TAG_PUT, ChangeKind.TAG_DELETE)
    ]
    rows = await world.rows("SELECT revision, digest FROM tag_history ORDER BY revision")
    assert [tuple(row) for row in rows] == moved
