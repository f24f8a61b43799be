"""What is beside the artifacts of a page is limited for all together, and an artifact says if it shows only some."""

from dataclasses import dataclass, field

import pytest

from metasvc.convert import from_artifact
from metasvc.domain.artifact import get_artifact, list_artifacts, list_project_artifacts
from metasvc.domain.lists import MOST_LISTED_LABELS, MOST_LISTED_ROWS, ArtifactParts, ArtifactView
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import Image, World, asked, image

FIRST, SECOND = "alpha/first", "alpha/second"
EVERYTHING = ArtifactParts(tags=True, accessories=True, labels=True)

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
COPIED = (
    "project_id, repository_id, repository_name, media_type, manifest_media_type, artifact_type, type, size, "
    "manifest_size, subject_digest, config_digest, push_time, extra_attrs, annotations"
)
# Artifacts that are made accessories or children in a second statement.
ARTIFACTS = f"""{NUMBERS} INSERT INTO artifact (digest, {COPIED})
SELECT 'part of ' || a.id || ': ' || i, {COPIED} FROM n, artifact a WHERE a.id = :owner"""  # noqa: S608 - fixed texts


@dataclass(frozen=True)
class Kind:
    """A kind of part, and how an artifact gets many of it.

    Attributes:
        name: its name in `ArtifactView`.
        fill: statements. `:owner` is the id of the artifact.
        most: the limit for a page.
    """

    name: str
    fill: tuple[str, ...] = field(repr=False)
    most: int = MOST_LISTED_ROWS


ADD_TAGS = f"""{NUMBERS} INSERT INTO tag (repository_id, artifact_id, name, push_time)
SELECT a.repository_id, a.id, 'tag-' || a.id || '-' || i, a.push_time FROM n, artifact a WHERE a.id = :owner"""  # noqa: S608 - fixed texts
ADD_ACCESSORIES = """
INSERT INTO artifact_accessory (artifact_id, repository_id, subject_digest, source, type, create_time)
SELECT p.id, p.repository_id, a.digest, 'subject', 'signature.cosign', p.push_time
FROM artifact a JOIN artifact p ON p.digest LIKE 'part of ' || a.id || ': %' WHERE a.id = :owner"""
ADD_REFERENCES = """
INSERT INTO artifact_reference (parent_id, position, child_id, child_digest, annotations, urls)
SELECT a.id, p.id, p.id, p.digest, '{}', '[]'
FROM artifact a JOIN artifact p ON p.digest LIKE 'part of ' || a.id || ': %' WHERE a.id = :owner"""
MAKE_LABELS = f"""{NUMBERS} INSERT INTO label (project_id, name, description, color, create_time, update_time)
SELECT 1, 'label ' || a.id || '-' || i, '', '', a.push_time, a.push_time FROM n, artifact a WHERE a.id = :owner"""  # noqa: S608 - fixed texts
ADD_LABELS = """INSERT INTO artifact_label (artifact_id, label_id, create_time) SELECT a.id, l.id, l.create_time
FROM artifact a JOIN label l ON l.name LIKE 'label ' || a.id || '-%' WHERE a.id = :owner"""
TAGS = Kind("tags", (ADD_TAGS,))
ACCESSORIES = Kind("accessories", (ARTIFACTS, ADD_ACCESSORIES))
REFERENCES = Kind("references", (ARTIFACTS, ADD_REFERENCES))
LABELS = Kind("labels", (MAKE_LABELS, ADD_LABELS), MOST_LISTED_LABELS)


async def fill(world: World, kind: Kind, owner: Image, count: int, repository: str = FIRST) -> None:
    """Gives an artifact so many parts, without pushing each."""
    found = "SELECT id FROM artifact WHERE digest = :digest AND repository_name = :name"
    values = {"owner": await world.value(found, digest=owner.digest, name=repository), "count": count}
    for statement in kind.fill:
        await world.execute(statement, **{name: value for name, value in values.items() if f":{name}" in statement})


def by_digest(views: tuple[ArtifactView, ...]) -> dict[str, ArtifactView]:
    return {view.artifact.digest: view for view in views}


@pytest.mark.parametrize("kind", [TAGS, ACCESSORIES, REFERENCES, LABELS], ids=lambda kind: kind.name)
async def test_one_artifact_with_very_many_takes_nothing_from_the_others(world: World, kind: Kind) -> None:
    # The one with the smallest id and digest is read first.
    big, *small, bare = sorted((image(f"number {number}") for number in range(4)), key=lambda each: each.digest)
    for each in (big, *small, bare):
        await world.push(FIRST, each)
    for each in small:
        await fill(world, kind, each, 3)
    await fill(world, kind, big, kind.most - 6)
    request = asked(page_size=100, sort="push_time")

    page = await list_artifacts(world.ports, project_id=1, repository=FIRST, request=request, parts=EVERYTHING)
    views = by_digest(page.items)
    assert [len(getattr(views[each.digest], kind.name)) for each in (big, *small, bare)] == [kind.most - 6, 3, 3, 0]
    assert {view.incomplete for view in page.items} == {()}

    await fill(world, kind, bare, 1)
    page = await list_artifacts(world.ports, project_id=1, repository=FIRST, request=request, parts=EVERYTHING)
    views = by_digest(page.items)
    assert [len(getattr(views[each.digest], kind.name)) for each in (big, *small, bare)] == [kind.most // 4, 3, 3, 1]
    assert [views[each.digest].incomplete for each in (big, *small, bare)] == [(kind.name,), (), (), ()]


@pytest.mark.parametrize("kind", [TAGS, ACCESSORIES, LABELS], ids=lambda kind: kind.name)
async def test_an_artifact_alone_says_that_it_shows_only_some(world: World, kind: Kind) -> None:
    big = image("big")
    await world.push(FIRST, big)
    await fill(world, kind, big, kind.most + 1)
    view = await get_artifact(
        world.ports, project_id=1, repository=FIRST, reference=Reference.parse(big.digest), parts=EVERYTHING
    )
    assert len(getattr(view, kind.name)) == kind.most
    assert list(from_artifact(view).incomplete) == [kind.name]


async def test_accessories_of_another_page_take_nothing_from_those_of_a_project_s_list(world: World) -> None:
    """A page shows one artifact of each repository. Each repository also holds the artifact that the other shows."""
    one, two = image("one"), image("two")
    for repository, last in ((FIRST, one), (SECOND, two)):
        for each in sorted((one, two), key=lambda each: each is last):
            await world.push(repository, each)
            world.later(seconds=1)
    await fill(world, ACCESSORIES, two, MOST_LISTED_ROWS + 1, FIRST)
    await fill(world, ACCESSORIES, one, 1, FIRST)
    await fill(world, ACCESSORIES, two, 1, SECOND)
    shown = {(FIRST, one.digest), (SECOND, two.digest)}
    await world.execute("UPDATE artifact SET size = 1")
    for name, digest in shown:
        await world.execute(
            "UPDATE artifact SET size = 2 WHERE repository_name = :name AND digest = :digest", name=name, digest=digest
        )

    page = await list_project_artifacts(
        world.ports, project_id=1, request=asked(page_size=2, sort="-size"), parts=EVERYTHING, latest=False
    )

    assert {(view.artifact.repository_name, view.artifact.digest) for view in page.items} == shown
    assert [(len(view.accessories), view.incomplete) for view in page.items] == [(1, ()), (1, ())]
