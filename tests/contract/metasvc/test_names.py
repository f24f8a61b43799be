"""Names are sorted by their bytes on every database; pulls are counted and dated."""

import pytest

from metasvc.domain.pull import PullRecorder
from metasvc.domain.repository import list_catalog
from metasvc.domain.tag import list_names
from svckit.errors import DomainError
from tests.contract.metasvc.world import World, image

TAGS = ["a-b", "Z", "ab", "a_b", "a", "1.0", "1.0.0", "_x", "B", "a.b"]


async def test_tags_are_listed_by_their_bytes_in_parts_that_fit_together(world: World) -> None:
    await world.push("alpha/app", image("one"))
    await world.put("alpha/app", image("one"), tags=TAGS)
    everything = sorted(TAGS, key=str.encode)

    async def names(start_after: str = "", limit: int | None = None) -> tuple[list[str], bool]:
        return await list_names(world.ports, project_id=1, repository="alpha/app", start_after=start_after, limit=limit)

    assert await names() == (everything, False)
    assert await names(limit=4) == (everything[:4], True)
    assert await names(everything[3], limit=6) == (everything[4:], False)
    assert await names(everything[5]) == (everything[6:], False)
    assert await names(limit=0) == ([], False)
    assert await names("a-") == (everything[everything.index("a-b") :], False)


async def test_a_repository_without_tags_is_empty_and_one_that_is_not_there_is_unknown(world: World) -> None:
    await world.push("alpha/app", image("one"))

    found = await list_names(world.ports, project_id=1, repository="alpha/app", start_after="", limit=None)
    assert found == ([], False)
    for project_id, repository in ((1, "alpha/none"), (2, "alpha/app")):
        with pytest.raises(DomainError) as caught:
            await list_names(world.ports, project_id=project_id, repository=repository, start_after="", limit=None)
        assert caught.value.reason == "NAME_UNKNOWN"


async def test_the_catalog_lists_all_repositories_by_their_bytes(world: World) -> None:
    names = ["alpha/b", "alpha/a-b", "alpha/a/b", "alpha/a_b", "alpha/a"]
    for name in names:
        await world.push(name, image("one"))
    ordered = sorted(names, key=str.encode)

    assert await list_catalog(world.ports, start_after="", page_size=0) == (ordered, False)
    assert await list_catalog(world.ports, start_after="", page_size=2) == (ordered[:2], True)
    assert await list_catalog(world.ports, start_after=ordered[1], page_size=3) == (ordered[2:], False)


async def test_pulls_are_written_together_and_counted_each(world: World) -> None:
    await world.push("alpha/app", image("one"), "v1")
    recorder = PullRecorder(world.store, world.clock)
    pulled = await world.resolve("alpha/app", "v1")
    for _ in range(3):
        world.later(seconds=1)
        recorder.note(pulled, "v1")
    recorder.note(pulled, None)

    await recorder.flush()
    await recorder.flush()

    assert await world.value("SELECT pull_count FROM repository") == 4
    for table in ("artifact", "tag"):
        (row,) = await world.rows(f"SELECT pull_time FROM {table}")  # noqa: S608 - names of ours
        assert str(world.now.replace(tzinfo=None)) in str(row.pull_time)
