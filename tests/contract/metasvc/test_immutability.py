"""What may not be done to immutable tags, whoever does it and however."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog

from metasvc.domain.artifact import get_artifact, list_artifacts, list_project_artifacts
from metasvc.domain.artifact_tag import create_tag, list_tags
from metasvc.domain.immutable_rule import delete_rule
from metasvc.domain.lists import ArtifactParts, ArtifactView
from svckit.errors import DomainError
from svckit.oci.reference import Reference
from tests.contract.metasvc.immutability import (
    APP,
    copy,
    make_rule,
    remove_artifact,
    remove_repository,
    remove_tag,
)
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.world import ORIGIN, Image, World, asked, image, index

ONE, TWO, THREE = image("one"), image("two"), image("three")
MARKED = ArtifactParts(immutability=True)
PUSHED = "Failed to process request due to 'app:v1' configured as immutable."
MOVED = "the tag v1 configured as immutable, cannot be updated"
DELETED = "the tag v1 configured as immutable, cannot be deleted"


async def put_tag(world: World, reference: str, name: str) -> None:
    await create_tag(
        world.ports,
        project_id=1,
        repository=APP,
        reference=Reference.parse(reference),
        name=name,
        origin=ORIGIN,
    )


async def refusal(work: Awaitable[object]) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value


async def state(world: World) -> list[Any]:
    """Everything that a refused write must not change."""
    tags = "SELECT repository_id, name, artifact_id, push_time FROM tag ORDER BY repository_id, name"
    artifacts = "SELECT repository_id, digest FROM artifact ORDER BY repository_id, digest"
    history = "SELECT count(*) FROM tag_history"
    return [await world.rows(each) for each in (tags, artifacts, history)] + [
        await world.changes(),
        await world.used_bytes(),
    ]


async def tag_of(world: World, name: str = "v1", repository: str = APP) -> str:
    return (await world.resolve(repository, name)).digest


@pytest.fixture
async def stocked(world: World) -> World:
    """Two images in one repository, one of them as v1 and latest, and a third one in another repository as v1."""
    await world.push(APP, ONE, "v1")
    await world.put(APP, ONE, "latest")
    await world.push(APP, TWO, "two")
    await world.push("alpha/other", THREE, "v1")
    return world


REFUSED: dict[str, tuple[Callable[[World], Awaitable[object]], str]] = {
    "push another digest": (lambda world: world.put(APP, TWO, "v1"), PUSHED),
    "push a new digest": (lambda world: world.push(APP, image("four"), "v1"), PUSHED),
    "push the same digest": (lambda world: world.put(APP, ONE, "v1"), PUSHED),
    "push by digest with the tag beside another": (lambda world: world.put(APP, TWO, tags=["new", "v1"]), PUSHED),
    "delete the tag over /v2": (lambda world: world.delete(APP, "v1"), DELETED),
    "delete the manifest over /v2": (lambda world: world.delete(APP, ONE.digest), DELETED),
    "delete the tag": (remove_tag, DELETED),
    "delete the artifact by digest": (lambda world: remove_artifact(world, ONE.digest), DELETED),
    "delete the artifact by another tag": (lambda world: remove_artifact(world, "latest"), DELETED),
    "delete the repository": (remove_repository, DELETED),
    "copy another artifact onto the tag": (lambda world: copy(world, "alpha/other:v1"), MOVED),
}


@pytest.mark.parametrize("write", REFUSED)
async def test_an_immutable_tag_is_neither_moved_nor_deleted(stocked: World, write: str) -> None:
    act, text = REFUSED[write]
    rule = await make_rule(stocked, "v*", "app")
    before = await state(stocked)

    error = await refusal(act(stocked))

    assert (error.reason, error.message) == ("TAG_IMMUTABLE", text)
    assert error.metadata == {"tag": "v1", "immutable_rule_id": str(rule.id)}
    # What the copy and the new image have linked or uploaded before is not part of it.
    assert (await state(stocked))[:4] == before[:4]


@pytest.mark.parametrize("write", REFUSED)
@pytest.mark.parametrize("covered", ["no rule", "another tag", "another repository", "disabled"])
async def test_a_tag_that_no_enabled_rule_covers_is_moved_and_deleted(stocked: World, write: str, covered: str) -> None:
    act, _ = REFUSED[write]
    match covered:
        case "another tag":
            await make_rule(stocked, "w*", "app")
        case "another repository":
            await make_rule(stocked, "v*", "other")
        case "disabled":
            await make_rule(stocked, is_disabled=True)

    await act(stocked)


async def test_a_refusal_is_logged_with_who_and_what(stocked: World) -> None:
    rule = await make_rule(stocked)
    with structlog.testing.capture_logs() as log:
        await refusal(stocked.put(APP, TWO, "v1"))
        await refusal(remove_tag(stocked))
    common = {
        "event": "immutable_tag_kept",
        "log_level": "info",
        "repository": APP,
        "tag": "v1",
        "immutable_rule_id": rule.id,
        "actor": str(ORIGIN.actor),
    }
    assert log == [common | {"refused": "push"}, common | {"refused": "delete"}]


async def test_a_tag_that_is_not_there_may_always_be_made(stocked: World) -> None:
    await make_rule(stocked)

    await stocked.push(APP, image("four"), "v2")
    await stocked.put(APP, TWO)
    await stocked.put(APP, TWO, tags=["v3", "v4"])
    await put_tag(stocked, "v1", "v5")
    await copy(stocked, "alpha/other:v1", "alpha/third")

    assert await tag_of(stocked, "v5") == ONE.digest
    for name in ("v2", "v3", "v4", "v5"):
        assert (await refusal(stocked.put(APP, ONE, name))).reason == "TAG_IMMUTABLE"
    assert (await refusal(remove_tag(stocked, repository="alpha/third"))).reason == "TAG_IMMUTABLE"


async def test_a_copy_of_what_is_there_is_no_move(stocked: World) -> None:
    await copy(stocked, f"{APP}:v1", "alpha/third")
    await make_rule(stocked, "**", "third")

    assert await copy(stocked, f"{APP}:v1", "alpha/third") == ONE.digest


async def test_a_tag_that_exists_is_a_conflict_also_if_it_is_immutable(stocked: World) -> None:
    await make_rule(stocked)
    error = await refusal(put_tag(stocked, "two", "v1"))
    repository_id = await stocked.value("SELECT id FROM repository WHERE name = :name", name=APP)
    text = f"tag v1 already exists under the repository {repository_id}"
    assert (error.reason, error.message) == ("CONFLICT", text)


async def test_one_of_several_tags_keeps_the_artifact_and_not_the_others(stocked: World) -> None:
    await make_rule(stocked, "v1", "app")
    await remove_tag(stocked, "latest")
    assert (await refusal(remove_artifact(stocked, ONE.digest))).message == DELETED
    await remove_artifact(stocked, "two")
    assert (await refusal(remove_repository(stocked))).message == DELETED


async def test_an_index_leaves_children_with_immutable_tags_and_takes_the_others(world: World) -> None:
    tagged, bare = image("amd"), image("arm")
    await world.push(APP, tagged, "v1")
    await world.push(APP, bare)
    await world.push(APP, index([tagged, bare]), "latest")
    await make_rule(world, "v*")

    await remove_artifact(world, "latest")

    assert await tag_of(world) == tagged.digest
    assert await world.rows("SELECT digest FROM artifact") == [(tagged.digest,)]


async def test_the_immutable_tag_of_an_accessory_keeps_its_subject(world: World) -> None:
    await world.push(APP, ONE, "v1")
    signature = image("signature")
    tag = f"sha256-{ONE.digest.removeprefix('sha256:')}.sig"
    await make_rule(world, "*.sig")
    # cosign's first push by this tag is allowed, the second is not.
    await world.push(APP, signature, tag)
    await world.push(APP, TWO)
    assert (await refusal(world.put(APP, TWO, tag))).reason == "TAG_IMMUTABLE"
    before = await state(world)

    error = await refusal(remove_artifact(world, "v1"))

    assert error.message == f"the tag {tag} configured as immutable, cannot be deleted"
    assert await state(world) == before


async def test_an_untagged_artifact_is_deleted_whatever_the_rules(world: World) -> None:
    await world.push(APP, ONE)
    await make_rule(world, "not nothing")
    await remove_artifact(world, ONE.digest)


async def test_a_condition_of_a_push_is_checked_after_the_rules(stocked: World) -> None:
    await make_rule(stocked)
    error = await refusal(stocked.put(APP, TWO, "v1", if_none_match=["*"]))
    assert error.reason == "TAG_IMMUTABLE"


async def test_a_large_repository_is_read_until_an_immutable_tag_is_found(world: World) -> None:
    await world.push(APP, ONE, "first")
    (row,) = await world.rows("SELECT repository_id, artifact_id FROM tag")
    names = [f"t{number:05}" for number in range(2500)]
    for start in range(0, len(names), 500):
        values = ", ".join(
            f"({row.repository_id}, {row.artifact_id}, '{name}', '2026-01-01')" for name in names[start : start + 500]
        )
        await world.execute(f"INSERT INTO tag (repository_id, artifact_id, name, push_time) VALUES {values}")  # noqa: S608
    rule = await make_rule(world, names[-1])
    with sent_statements("SELECT") as sent:
        assert names[-1] in (await refusal(remove_repository(world))).message
    assert len([each for each in sent if "tag.name >" in each]) == 3

    await make_rule(world, "absent", "other")
    await delete_rule(world.ports, project_id=1, rule_id=rule.id, origin=ORIGIN)
    with sent_statements("SELECT") as sent:
        await remove_repository(world)
    # A rule for another repository reads no tags.
    assert not [each for each in sent if "tag.name >" in each]


def reads_rules(statements: list[str]) -> int:
    return len([each for each in statements if re.search(r"\bimmutable_rule\b", each)])


async def test_a_push_reads_rules_only_where_there_are_some_and_the_tag_exists(stocked: World) -> None:
    await stocked.push("beta/app", ONE, "v1", project_id=2)
    await stocked.push("beta/app", TWO, "v2", project_id=2)

    async def sent(repository: str, pushed: Image, tag: str, *, project_id: int = 1) -> list[str]:
        with sent_statements() as statements:
            await stocked.put(repository, pushed, tag, project_id=project_id)
        # The update time of a repository is written once in a second.
        stocked.later(seconds=2)
        return statements

    plain_new = await sent(APP, TWO, "n1")
    plain_move = await sent(APP, TWO, "v1")
    await make_rule(stocked, "w*")

    ruled_new = await sent(APP, TWO, "n2")
    ruled_move = await sent(APP, ONE, "v1")
    elsewhere = await sent("beta/app", TWO, "v1", project_id=2)

    assert [reads_rules(each) for each in (plain_new, plain_move, ruled_new, ruled_move, elsewhere)] == [0, 0, 0, 1, 0]
    assert len(ruled_new) == len(plain_new)
    assert len(ruled_move) == len(plain_move) + 1 == len(elsewhere) + 1


async def test_lists_say_which_tags_are_immutable_if_they_are_asked(stocked: World) -> None:
    await make_rule(stocked, "v*", "app")
    await make_rule(stocked, "not v*", "other")

    async def shown(views: tuple[ArtifactView, ...]) -> dict[tuple[str, str], bool]:
        return {(view.artifact.repository_name, tag.name): tag.is_immutable for view in views for tag in view.tags}

    async def found(parts: ArtifactParts) -> list[dict[tuple[str, str], bool]]:
        one = await get_artifact(
            stocked.ports, project_id=1, repository=APP, reference=Reference.parse("v1"), parts=parts
        )
        several = await list_artifacts(stocked.ports, project_id=1, repository=APP, request=asked(), parts=parts)
        everywhere = await list_project_artifacts(
            stocked.ports, project_id=1, request=asked(), parts=parts, latest=False
        )
        return [await shown(views) for views in ((one,), several.items, everywhere.items)]

    of_one = {(APP, "v1"): True, (APP, "latest"): False}
    of_app = of_one | {(APP, "two"): False}
    assert await found(MARKED) == [of_one, of_app, of_app | {("alpha/other", "v1"): False}]
    assert not any(any(each.values()) for each in await found(ArtifactParts()))

    for is_asked in (True, False):
        page = await list_tags(
            stocked.ports,
            project_id=1,
            repository=APP,
            reference=Reference.parse("v1"),
            request=asked(),
            with_immutable_status=is_asked,
        )
        assert {tag.name: tag.is_immutable for tag in page.items} == {"v1": is_asked, "latest": False}


async def test_the_status_costs_one_query_for_any_number_of_artifacts_and_rules(world: World) -> None:
    async def sent(parts: ArtifactParts) -> int:
        with sent_statements("SELECT") as statements:
            page = await list_project_artifacts(world.ports, project_id=1, request=asked(), parts=parts, latest=False)
        assert page.items
        return len(statements)

    await world.push("alpha/r0", ONE, "v1")
    few = [await sent(parts) for parts in (ArtifactParts(), MARKED)]
    for number in range(8):
        await world.push(f"alpha/r{number}", ONE, "v1")
        await world.push(f"alpha/r{number}", TWO, "v2")
        await make_rule(world, f"v{number}")

    assert few == [few[0], few[0] + 1] == [await sent(parts) for parts in (ArtifactParts(), MARKED)]
