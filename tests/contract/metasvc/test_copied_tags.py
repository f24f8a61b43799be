"""Copies of artifacts: the tags that come along or move, however many there are."""

from collections.abc import Iterable
from typing import Any

import pytest

from metasvc.domain.model import Tag
from metasvc.domain.repository import delete_repository
from metasvc.store.tag import SqlTags
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.test_artifact_copy import SOURCE, TARGET, copy, tags
from tests.contract.metasvc.world import ORIGIN, Image, World, image, index


async def accessories(world: World, repository: str, one: Image) -> list[tuple[Any, ...]]:
    rows = await world.rows(
        """SELECT x.subject_digest, x.source, x.type, t.name FROM artifact_accessory x
        JOIN artifact a ON a.id = x.artifact_id LEFT JOIN tag t ON t.id = x.tag_id
        WHERE a.repository_name = :name AND a.digest = :digest ORDER BY x.subject_digest""",
        name=repository,
        digest=one.digest,
    )
    return [tuple(row) for row in rows]


async def test_tags_move_in_the_target_as_in_harbor(world: World) -> None:
    """All tags of the artifact, and those of what is new in the target."""
    child, own = image("child"), image("own")
    await world.push(SOURCE, child, "child")
    whole = index([child])
    await world.put(SOURCE, whole, "v1")
    await world.put(SOURCE, whole, "stable")
    await world.push(TARGET, own, "stable", project_id=2)
    await copy(world, whole.digest)
    expected = {"v1": whole.digest, "stable": whole.digest, "child": child.digest}
    assert await tags(world) == expected
    own_review = await world.value("SELECT reason FROM review WHERE digest = :digest", digest=own.digest)
    assert own_review == "untagged"
    # The child is there already, so its tag stays where the target has put it.
    await world.put(TARGET, own, "child", project_id=2)
    await world.put(TARGET, own, "v1", project_id=2)
    await copy(world, "v1")
    assert await tags(world) == {**expected, "child": own.digest}


async def test_a_copy_has_as_many_statements_for_any_number_of_tags(world: World) -> None:
    """New tags, tags that move, and cosign's, which make accessories."""
    await world.push(TARGET, image("first"), project_id=2)
    numbers = []
    for size in (2, 300):
        one, other = image(f"one {size}"), image(f"other {size}")
        whole, last = index([one]), f"all-{size}"
        names = [f"v{size}.{number}" for number in range(size)]
        signed = [f"sha256-{1000 * size + number:064x}.sig" for number in range(size)]
        await world.push(SOURCE, one)
        await world.put(SOURCE, one, tags=[*names, *signed])
        await world.put(SOURCE, whole, last)
        await world.push(TARGET, other, project_id=2)
        await world.put(TARGET, other, tags=[*names[::2], *signed[::2]], project_id=2)
        before = await world.value("SELECT max(revision) FROM change")
        with sent_statements() as statements:
            await copy(world, last)
        numbers.append(len(statements))
        assert await tags(world) == {**dict.fromkeys([*names, *signed], one.digest), last: whole.digest}
        moves = await world.rows("SELECT name, previous_digest FROM tag_history WHERE digest = :d", d=one.digest)
        moved = {(row.name, row.previous_digest) for row in moves if row.previous_digest}
        assert moved == {(name, other.digest) for name in (*names[::2], *signed[::2])}
        put = await world.rows("SELECT reference FROM change WHERE revision > :before", before=before)
        assert sorted(row.reference for row in put) == sorted([one.digest, whole.digest, *names, *signed, last])
        assert await accessories(world, TARGET, one) == await accessories(world, SOURCE, one)
        await delete_repository(world.ports, project_id=2, name=TARGET, origin=ORIGIN)
        await world.push(TARGET, image("first"), project_id=2)
    assert numbers[0] == numbers[1]


async def test_a_tag_that_somebody_makes_meanwhile_is_found_by_a_second_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = image("one"), image("other")
    await world.push(SOURCE, one)
    await world.put(SOURCE, one, tags=["a", "b", "c"])
    await world.push(TARGET, other, "b", project_id=2)
    lock = SqlTags.lock
    attempts = []

    async def lock_before_it_came(self: SqlTags, repository_id: int, names: Iterable[str]) -> dict[str, Tag]:
        found = await lock(self, repository_id, names)
        attempts.append(found)
        return found if len(attempts) > 1 else {}

    monkeypatch.setattr(SqlTags, "lock", lock_before_it_came)
    await copy(world, "a")
    assert len(attempts) == 2
    assert await tags(world) == dict.fromkeys("abc", one.digest)
    target_id = await world.value("SELECT id FROM repository WHERE name = :name", name=TARGET)
    moves = await world.rows(
        "SELECT name, previous_digest FROM tag_history WHERE repository_id = :id AND digest = :digest",
        id=target_id,
        digest=one.digest,
    )
    assert {(row.name, row.previous_digest) for row in moves} == {("a", ""), ("b", other.digest), ("c", "")}
