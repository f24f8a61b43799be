"""Copies of artifacts between repositories and projects: what is copied, what it costs, and races."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from metasvc.domain.artifact_copy import ArtifactCopy, copy_artifact
from metasvc.domain.model import BlobKey, ChangeKind
from metasvc.domain.project import delete_project
from metasvc.domain.repository import delete_repository
from metasvc.store.artifact_copy import SqlCopies
from svckit.errors import DomainError, Unavailable
from svckit.oci.reference import Reference
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.world import ORIGIN, Image, World, blob_digest, image, index

SOURCE, TARGET = "alpha/app", "beta/copy"
PROJECTS = {"alpha": 1, "beta": 2, "small": 3}


async def copy(world: World, reference: str = "v1", source: str = SOURCE, target: str = TARGET) -> str:
    wanted = ArtifactCopy(
        source_project_id=PROJECTS[source.partition("/")[0]],
        source=source,
        reference=Reference.parse(reference),
        project_id=PROJECTS[target.partition("/")[0]],
        repository=target,
    )
    return await copy_artifact(world.ports, wanted, ORIGIN)


async def reason_of(work: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value.reason


def subject_of(named: Image) -> dict[str, Any]:
    return {"mediaType": named.media_type, "digest": named.digest, "size": len(named.content)}


async def held(world: World, repository: str = TARGET) -> set[str]:
    rows = await world.rows("SELECT digest FROM artifact WHERE repository_name = :name", name=repository)
    return {row.digest for row in rows}


async def tags(world: World, repository: str = TARGET) -> dict[str, str]:
    rows = await world.rows(
        "SELECT t.name, a.digest FROM tag t JOIN artifact a ON a.id = t.artifact_id WHERE a.repository_name = :name",
        name=repository,
    )
    return {row.name: row.digest for row in rows}


# What the tables say about a repository, without ids, times and names of its own.
CONTENTS = (
    """SELECT digest, media_type, manifest_media_type, artifact_type, type, size, manifest_size, subject_digest,
    config_digest, extra_attrs, annotations FROM artifact a WHERE a.repository_name = :name""",
    """SELECT a.digest, m.content FROM manifest m JOIN artifact a ON a.id = m.artifact_id
    WHERE a.repository_name = :name""",
    """SELECT a.digest, r.position, r.child_digest, c.repository_name = a.repository_name, r.platform, r.annotations,
    r.urls FROM artifact_reference r JOIN artifact c ON c.id = r.child_id JOIN artifact a ON a.id = r.parent_id
    WHERE a.repository_name = :name""",
    """SELECT a.digest, b.digest, b.media_type, b.size, b.repository_id = a.repository_id FROM artifact_blob b
    JOIN artifact a ON a.id = b.artifact_id WHERE a.repository_name = :name""",
    """SELECT a.digest, x.subject_digest, x.source, x.type, x.tag_id IS NULL, x.repository_id = a.repository_id
    FROM artifact_accessory x JOIN artifact a ON a.id = x.artifact_id WHERE a.repository_name = :name""",
    "SELECT a.digest, t.name FROM tag t JOIN artifact a ON a.id = t.artifact_id WHERE a.repository_name = :name",
)


async def contents(world: World, repository: str) -> list[list[Any]]:
    return [sorted((tuple(row) for row in await world.rows(query, name=repository)), key=repr) for query in CONTENTS]


async def check_charges(world: World, project_id: int = 2) -> None:
    expected = await world.rows(
        "SELECT digest, count(*) AS uses FROM ("
        " SELECT digest FROM artifact WHERE project_id = :id"
        " UNION ALL SELECT l.digest FROM repository_blob l JOIN repository r ON r.id = l.repository_id"
        " WHERE r.project_id = :id AND l.charged) AS used GROUP BY digest",
        id=project_id,
    )
    charged = await world.rows("SELECT digest, count FROM project_blob WHERE project_id = :id", id=project_id)
    assert {tuple(row) for row in charged} == {tuple(row) for row in expected}
    await world.used_bytes(project_id)
    unlinked = await world.rows(
        "SELECT n.digest FROM artifact_blob n LEFT JOIN repository_blob l"
        " ON l.repository_id = n.repository_id AND l.digest = n.digest WHERE l.digest IS NULL OR NOT l.charged"
    )
    assert unlinked == [], "a manifest names a blob that is not linked, or not charged"


async def push_family(world: World) -> tuple[Image, set[str]]:
    """An index of two images. Hanging on it: an SBOM with a signature, cosign's signatures by tag, and an index."""
    amd, arm = image("amd", layers=["base", "amd"]), image("arm", layers=["base", "arm"])
    for each in (amd, arm):
        await world.push(SOURCE, each)
    whole = index([amd, arm], annotations={"a": "b"})
    await world.put(SOURCE, whole, "v1")
    await world.put(SOURCE, whole, "latest")
    sbom = image("sbom", layers=["sbom"], subject=subject_of(whole))
    await world.push(SOURCE, sbom)
    signed_sbom = image("signed sbom", layers=["signature of sbom"], subject=subject_of(sbom))
    await world.push(SOURCE, signed_sbom)
    cosign_tag = f"sha256-{amd.digest[7:]}.sig"
    # cosign moves its tag with each signature; the first one stays an accessory.
    first, second = (image(f"signature {number}", layers=[f"signature {number}"]) for number in (1, 2))
    for each in (first, second):
        await world.push(SOURCE, each, cosign_tag)
    listed = index([sbom])
    await world.put(SOURCE, listed, f"sha256-{whole.digest[7:]}")
    family = (amd, arm, whole, sbom, signed_sbom, first, second, listed)
    return whole, {each.digest for each in family}


async def test_everything_that_hangs_on_an_artifact_is_copied_and_nothing_else(world: World) -> None:
    whole, family = await push_family(world)
    await world.push(SOURCE, image("stranger"), "stranger")
    await world.push("beta/other", image("other"), project_id=2)

    assert await copy(world) == whole.digest

    assert await held(world) == family
    await world.delete(SOURCE, "stranger")
    await world.delete(SOURCE, image("stranger").digest)
    assert await contents(world, TARGET) == await contents(world, SOURCE)
    await check_charges(world)
    needed = (
        "SELECT DISTINCT n.digest FROM artifact_blob n JOIN repository r ON r.id = n.repository_id WHERE r.name = :name"
    )
    for (digest,) in await world.rows(needed, name=TARGET):
        assert (await world.resolve_blob(TARGET, digest, project_id=2)).digest == digest


async def test_a_copy_is_as_a_push_to_the_change_log_and_to_garbage_collection(world: World) -> None:
    whole, family = await push_family(world)
    before = len(await world.changes())
    await copy(world)
    changes = [each.change for each in (await world.changes())[before:]]
    assert {each.resource_name for each in changes} == {TARGET}
    assert {each.origin for each in changes} == {ORIGIN}
    put = [each.reference for each in changes if each.kind is ChangeKind.MANIFEST_PUT]
    assert sorted(put) == sorted(family)
    tagged = {each.reference: each.digest for each in changes if each.kind is ChangeKind.TAG_PUT}
    assert tagged == await tags(world)
    target_id = await world.value("SELECT id FROM repository WHERE name = :name", name=TARGET)
    queued = await world.rows("SELECT digest FROM review WHERE repository_id = :id AND reason = 'pushed'", id=target_id)
    assert {row.digest for row in queued} == family
    mounted = await world.rows("SELECT digest FROM review WHERE kind = 'blob' AND reason = 'mounted'")
    assert {row.digest for row in mounted} == {row.digest for row in await world.rows("SELECT digest FROM blob")}
    moves = await world.rows("SELECT name, digest FROM tag_history WHERE repository_id = :id", id=target_id)
    assert {(row.name, row.digest) for row in moves} == set(tagged.items())
    assert whole.digest in family


async def test_a_repeat_writes_nothing_new(world: World) -> None:
    await push_family(world)
    await copy(world)
    first, changes, used = await contents(world, TARGET), await world.changes(), await world.used_bytes(2)
    asked = len(world.bytes.asked)
    await copy(world)
    assert await contents(world, TARGET) == first
    assert await world.changes() == changes
    assert await world.used_bytes(2) == used
    assert len(world.bytes.asked) == asked, "blobsvc is asked about what is linked anew only"


async def test_a_copy_within_its_repository_changes_nothing(world: World) -> None:
    whole, _ = await push_family(world)
    first = await contents(world, SOURCE)
    assert await copy(world, target=SOURCE) == whole.digest
    assert await contents(world, SOURCE) == first
    await check_charges(world, 1)


async def test_a_project_pays_once_for_what_it_holds_already(world: World) -> None:
    pushed = image("one", layers=["base"])
    await world.push(SOURCE, pushed, "v1")
    used = await world.used_bytes(1)
    await copy(world, target="alpha/second")
    assert await world.used_bytes(1) == used
    await check_charges(world, 1)
    await copy(world)
    assert await world.used_bytes(2) == used
    await delete_repository(world.ports, project_id=1, name="alpha/second", origin=ORIGIN)
    assert await world.used_bytes(1) == used


async def test_a_copy_is_held_to_the_quota_and_leaves_nothing_behind(world: World) -> None:
    pushed = image("one", layers=["large"], layer_size=990)
    await world.push(SOURCE, pushed, "v1")
    assert await reason_of(copy(world, target="small/app")) == "QUOTA_EXCEEDED"
    assert await held(world, "small/app") == set()
    assert await world.value("SELECT count(*) FROM repository WHERE name = 'small/app'") == 0
    assert await world.used_bytes(3) == 0


async def test_what_has_come_since_is_copied_by_a_repeat(world: World) -> None:
    pushed = image("one")
    await world.push(SOURCE, pushed, "v1")
    await copy(world)
    signature = image("signature", layers=["signature"], subject=subject_of(pushed))
    await world.push(SOURCE, signature)
    await copy(world)
    assert await held(world) == {pushed.digest, signature.digest}
    await check_charges(world)


async def test_an_accessory_is_not_copied_by_itself(world: World) -> None:
    pushed = image("one")
    signature = image("signature", layers=["signature"], subject=subject_of(pushed))
    await world.push(SOURCE, signature)
    assert await reason_of(copy(world, signature.digest)) == "DENIED"
    assert await world.value("SELECT count(*) FROM repository WHERE name = :name", name=TARGET) == 0


@pytest.mark.parametrize(
    ("reference", "source"),
    [("v2", SOURCE), (blob_digest("nothing"), SOURCE), ("v1", "alpha/missing"), ("v1", "beta/app")],
)
async def test_a_source_that_is_not_there_is_not_found(world: World, reference: str, source: str) -> None:
    await world.push(SOURCE, image("one"), "v1")
    assert await reason_of(copy(world, reference, source)) == "NOT_FOUND"
    assert await world.value("SELECT count(*) FROM repository WHERE name = :name", name=TARGET) == 0


@pytest.mark.parametrize("state", ["condemned", "quarantined"])
async def test_blobs_that_are_not_served_any_more_are_not_copied(world: World, state: str) -> None:
    pushed = image("one", layers=["base", "top"])
    await world.push(SOURCE, pushed, "v1")
    await world.execute("UPDATE blob SET state = :state WHERE digest = :digest", state=state, digest=blob_digest("top"))
    with pytest.raises(DomainError) as caught:
        await copy(world)
    assert (caught.value.reason, caught.value.metadata["digest"]) == ("MANIFEST_BLOB_UNKNOWN", blob_digest("top"))
    assert await held(world) == set()


@pytest.mark.parametrize("size", [None, 99])
async def test_damaged_bytes_are_found_before_they_are_copied(world: World, size: int | None) -> None:
    pushed = image("one", layers=["base"])
    await world.push(SOURCE, pushed, "v1")
    world.bytes.files[BlobKey(blob_digest("base"), 1)] = size
    assert await reason_of(copy(world)) == "MANIFEST_BLOB_UNKNOWN"
    assert await world.value("SELECT state FROM blob WHERE digest = :d", d=blob_digest("base")) == "quarantined"


async def test_a_generation_that_changes_meanwhile_is_asked_about_again(world: World) -> None:
    await world.push(SOURCE, image("one", layers=["base"]), "v1")

    async def other_generation() -> None:
        world.bytes.before_answer = None
        await world.execute("UPDATE blob SET generation = 2 WHERE digest = :digest", digest=blob_digest("base"))

    world.bytes.before_answer = other_generation
    await copy(world)
    assert BlobKey(blob_digest("base"), 2) in world.bytes.asked
    await check_charges(world)


async def test_nothing_is_copied_while_nobody_can_say_whether_the_bytes_are_there(world: World) -> None:
    await world.push(SOURCE, image("one"), "v1")
    world.bytes.failure = Unavailable()
    assert await reason_of(copy(world)) == "UNAVAILABLE"
    assert await held(world) == set()


@pytest.mark.parametrize("last", ["graph", "lock_graph", "add", "link"])
async def test_a_copy_that_ends_halfway_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """A copy is one transaction, so a crash at any of its statements is this."""
    await push_family(world)
    before = await world.changes()
    done = getattr(SqlCopies, last)

    async def crash(*args: object, **more: object) -> None:
        await done(*args, **more)
        raise ConnectionResetError

    monkeypatch.setattr(SqlCopies, last, crash)
    with pytest.raises(ConnectionResetError):
        await copy(world)
    monkeypatch.undo()
    assert await held(world) == set()
    assert await world.changes() == before
    assert await world.value("SELECT count(*) FROM repository WHERE name = :name", name=TARGET) == 0
    await copy(world)
    assert await contents(world, TARGET) == await contents(world, SOURCE)


async def test_a_copy_has_as_many_statements_for_any_number_of_children(world: World) -> None:
    # Makes the rows of project and repository.
    await world.push(TARGET, image("first"), project_id=2)
    numbers = []
    for size in (2, 30):
        children = [image(f"child {size} {number}", layers=[f"layer {number}"]) for number in range(size)]
        for child in children:
            await world.push(SOURCE, child)
        await world.put(SOURCE, index(children), f"v{size}")
        with sent_statements() as statements:
            await copy(world, f"v{size}")
        # Those that are sent once for each row of a list are counted once.
        numbers.append(len(set(statements)))
    assert numbers[0] == numbers[1]


async def test_a_project_that_is_being_deleted_takes_no_copy(world: World) -> None:
    await world.push(SOURCE, image("one"), "v1")
    await world.push(TARGET, image("two"), project_id=2)
    await delete_repository(world.ports, project_id=2, name=TARGET, origin=ORIGIN)
    await world.execute("UPDATE project SET state = 'deleting' WHERE id = 2")
    assert await reason_of(copy(world)) == "PROJECT_UNKNOWN"


async def test_a_copy_and_the_deletion_of_its_target_project_come_one_after_the_other(world: World) -> None:
    for number in range(8):
        world.directory.projects[2] = ("beta", -1)
        source = f"alpha/app{number}"
        await world.push(source, image(f"one {number}"), "v1")
        results = await asyncio.gather(
            copy(world, source=source), delete_project(world.ports, 2, ORIGIN), return_exceptions=True
        )
        refusals = [error.reason for error in results if isinstance(error, DomainError)]
        assert refusals in (["PROJECT_UNKNOWN"], ["PROJECT_NOT_EMPTY"])
        if refusals == ["PROJECT_UNKNOWN"]:
            assert await held(world) == set()
            break
        await delete_repository(world.ports, project_id=2, name=TARGET, origin=ORIGIN)


async def test_a_copy_and_the_deletion_of_its_source_come_one_after_the_other(world: World) -> None:
    outcomes = set()
    for number in range(12):
        children = [image(f"child {number} {arch}", layers=[f"{number} {arch}"]) for arch in ("amd", "arm")]
        for child in children:
            await world.push(SOURCE, child)
        whole = index(children)
        await world.put(SOURCE, whole, "v1")
        world.later(seconds=1)
        work = [copy(world), world.delete(SOURCE, whole.digest)]
        results = await asyncio.gather(*(work if number % 2 else reversed(work)), return_exceptions=True)
        refusals = [error.reason for error in results if isinstance(error, BaseException)]  # type: ignore[attr-defined]
        assert refusals in ([], ["NOT_FOUND"])
        assert await held(world, SOURCE) == set()
        expected = set() if refusals else {whole.digest, *(child.digest for child in children)}
        assert await held(world) == expected
        await check_charges(world)
        outcomes.add(bool(refusals))
        if not refusals:
            await delete_repository(world.ports, project_id=2, name=TARGET, origin=ORIGIN)
    assert outcomes


async def test_copies_in_both_directions_pushes_and_deletions_at_once(world: World) -> None:
    """Nobody waits for nobody: whatever happens, the charges fit the rows, and what is named is there."""
    shared = [image(f"shared {number}", layers=[f"layer {number}"]) for number in range(3)]
    for each in shared:
        await world.push(SOURCE, each)
        await world.push(TARGET, each, project_id=2)
    both = {SOURCE: index(shared[:2]), TARGET: index(shared[1:])}
    for _ in range(6):
        await world.put(SOURCE, both[SOURCE], "left")
        await world.put(TARGET, both[TARGET], "right", project_id=2)
        world.later(seconds=1)
        results = await asyncio.gather(
            copy(world, "left"),
            copy(world, "right", TARGET, SOURCE),
            copy(world, "left"),
            world.push(TARGET, both[SOURCE], "left", project_id=2),
            world.delete(SOURCE, both[SOURCE].digest),
            world.delete(TARGET, both[TARGET].digest, project_id=2),
            return_exceptions=True,
        )
        for error in results:
            if isinstance(error, BaseException):
                assert isinstance(error, DomainError), error
                assert error.reason in ("NOT_FOUND", "MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN")
        await check_charges(world, 1)
        await check_charges(world, 2)
        for each in shared:
            await world.push(SOURCE, each)
            await world.push(TARGET, each, project_id=2)


async def test_many_copies_at_once_are_one(world: World) -> None:
    whole, family = await push_family(world)
    await asyncio.gather(*(copy(world) for _ in range(8)))
    assert await held(world) == family
    used = await world.used_bytes(2)
    await check_charges(world)
    assert used == await world.used_bytes(1)
    assert whole.digest in family


async def test_the_quota_is_exact_under_many_copies_at_once(world: World) -> None:
    pushed = [image(f"one {number}", layers=[f"layer {number}"], layer_size=200) for number in range(6)]
    for each in pushed:
        await world.push(SOURCE, each)
    room = sum(len(each.content) + 210 for each in pushed[:2])
    await world.push("small/first", image("first", layers=["tiny"], layer_size=1), project_id=3)
    await delete_repository(world.ports, project_id=3, name="small/first", origin=ORIGIN)
    await world.execute("UPDATE project SET quota_bytes = :room WHERE id = 3", room=room + 50)
    results = await asyncio.gather(
        *(copy(world, each.digest, target="small/app") for each in pushed), return_exceptions=True
    )
    refused = [error for error in results if isinstance(error, DomainError)]
    assert [error.reason for error in refused] == ["QUOTA_EXCEEDED"] * 4
    assert room - 20 <= await world.used_bytes(3) <= room + 50
    await check_charges(world, 3)
