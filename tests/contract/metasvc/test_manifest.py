"""Manifests are pushed, pulled and deleted as a whole or not at all."""

import asyncio
import hashlib
import json
from unittest.mock import Mock

import pytest

from metasvc.domain.manifest_push import PushedManifest
from metasvc.domain.manifest_read import LARGEST_IN_BATCH_BYTES
from svckit.errors import DomainError, error_for
from svckit.oci import media_types
from tests.contract.metasvc.world import POLICY, Image, World, blob_digest, descriptor, digest_of, image, index


async def reason_of(work: object) -> str:
    with pytest.raises(DomainError) as caught:
        await work  # type: ignore[misc]
    return caught.value.reason


async def test_a_manifest_is_pulled_byte_for_byte_by_tag_and_by_digest(world: World) -> None:
    pushed = image("one")

    answer = await world.push("alpha/app", pushed, "v1")

    assert (answer.digest, answer.tags, answer.existed) == (pushed.digest, ("v1",), False)
    for reference in ("v1", pushed.digest):
        found = await world.resolve("alpha/app", reference)
        assert (found.content, found.media_type, found.size) == (
            pushed.content,
            media_types.OCI_MANIFEST,
            len(pushed.content),
        )
        head = await world.resolve("alpha/app", reference, content=False)
        assert (head.content, head.digest, head.size) == (None, pushed.digest, len(pushed.content))


async def test_memory_is_counted_before_a_large_manifest_is_read(world: World) -> None:
    small, large = image("small"), image("large", annotations={"text": "x" * LARGEST_IN_BATCH_BYTES})
    await world.push("alpha/app", small, "small")
    await world.push("alpha/app", large, "large")

    await world.resolve("alpha/app", "small")
    await world.resolve("alpha/app", "large", content=False)
    assert world.held_bytes == []

    for reference in ("large", large.digest):
        found = await world.resolve("alpha/app", reference)
        assert found.content == large.content
    assert world.held_bytes == [len(large.content)] * 2


async def test_a_large_manifest_for_which_there_is_no_memory_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.push("alpha/app", image("large", annotations={"text": "x" * LARGEST_IN_BATCH_BYTES}), "large")
    refusal = Mock(side_effect=error_for("TOOMANYREQUESTS"))
    monkeypatch.setattr(world, "held_bytes", Mock(append=refusal))

    assert await reason_of(world.resolve("alpha/app", "large")) == "TOOMANYREQUESTS"
    refusal.assert_called_once()


async def test_only_a_push_that_writes_little_is_a_short_unit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Mock(side_effect=world.store.write)
    monkeypatch.setattr(world.store, "write", write)
    for pushed, is_short in (
        (image("small", layers=[f"layer {number}" for number in range(100)]), True),
        (image("many", layers=[f"layer {number}" for number in range(130)]), False),
        (image("large", annotations={"a": "b" * 64 * 1024}), False),
    ):
        for digest, size in pushed.blobs.items():
            await world.link("alpha/app", digest, size=size)
        write.reset_mock()
        await world.put("alpha/app", pushed)
        assert write.call_args.kwargs == {"short": is_short}


async def test_the_four_queries_find_what_was_pushed(world: World) -> None:
    pushed = image("one", annotations={"a": "b"})
    await world.push("alpha/test/nginx", pushed, "1.20.2-alpine")

    (repository,) = await world.rows("""SELECT id FROM "repository" WHERE name = 'alpha/test/nginx';""")
    (tag,) = await world.rows(
        f'SELECT artifact_id FROM "tag" WHERE "repository_id" = {repository.id} AND "name" = \'1.20.2-alpine\';'  # noqa: S608 - as it stands
    )
    (by_id,) = await world.rows(f'SELECT * FROM "artifact" WHERE "id" = {tag.artifact_id};')  # noqa: S608 - as above
    (by_digest,) = await world.rows(
        f"""SELECT * FROM "artifact" WHERE "digest" = '{pushed.digest}' AND "repository_name" = 'alpha/test/nginx';"""  # noqa: S608
    )
    assert by_id == by_digest
    assert (by_id.digest, by_id.size, by_id.type) == (pushed.digest, len(pushed.content) + 110, "IMAGE")


async def test_what_is_missing_is_refused_by_name_and_nothing_is_kept(world: World) -> None:
    pushed = image("one", layers=("base", "top"))
    await world.link("alpha/app", blob_digest("base"))

    with pytest.raises(DomainError) as caught:
        await world.put("alpha/app", pushed, "v1")

    assert caught.value.reason == "MANIFEST_BLOB_UNKNOWN"
    named = {violation.description for violation in caught.value.violations}
    assert named == {blob_digest("config of one"), blob_digest("top")}
    assert await world.value("SELECT count(*) FROM artifact") == 0
    assert await world.value("SELECT count(*) FROM change") == 0


async def test_a_blob_of_another_repository_or_a_condemned_one_counts_as_missing(world: World) -> None:
    pushed = image("one")
    for digest, size in pushed.blobs.items():
        await world.link("alpha/other", digest, size=size)
    assert await reason_of(world.put("alpha/app", pushed)) == "MANIFEST_BLOB_UNKNOWN"

    for digest, size in pushed.blobs.items():
        await world.link("alpha/app", digest, size=size)
    await world.execute("UPDATE blob SET state = 'condemned' WHERE digest = :digest", digest=blob_digest("base"))
    assert await reason_of(world.put("alpha/app", pushed)) == "MANIFEST_BLOB_UNKNOWN"


async def test_an_index_needs_its_children_here_and_keeps_them(world: World) -> None:
    children = [image("amd"), image("arm")]
    both = index(children)
    await world.push("alpha/app", children[0])
    assert await reason_of(world.put("alpha/app", both, "v1")) == "MANIFEST_BLOB_UNKNOWN"

    await world.push("alpha/app", children[1])
    await world.put("alpha/app", both, "v1")

    references = await world.rows("SELECT child_digest, position FROM artifact_reference ORDER BY position")
    assert [row.child_digest for row in references] == [child.digest for child in children]
    size = await world.value("SELECT size FROM artifact WHERE digest = :digest", digest=both.digest)
    assert size == len(both.content) + sum(len(child.content) + 110 for child in children)
    # Without the child, pulls of the index would fail.
    assert await reason_of(world.delete("alpha/app", children[0].digest)) == "PRECONDITION"
    await world.delete("alpha/app", both.digest)
    for child in children:
        assert await reason_of(world.resolve("alpha/app", child.digest)) == "MANIFEST_UNKNOWN"


async def test_an_index_may_name_one_child_twice(world: World) -> None:
    child = image("one")
    await world.push("alpha/app", child)
    twice = index([child, child])

    await world.put("alpha/app", twice, "v1")

    assert await world.value("SELECT count(*) FROM artifact_reference") == 2


async def test_a_build_cache_is_an_index_of_blobs(world: World) -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [
            descriptor("cache layer"),
            descriptor("cache config", 10, "application/vnd.buildkit.cacheconfig.v0"),
        ],
    }
    cache = Image(json.dumps(document).encode(), media_types.OCI_INDEX, {})
    assert await reason_of(world.put("alpha/app", cache, "cache")) == "MANIFEST_BLOB_UNKNOWN"

    await world.link("alpha/app", blob_digest("cache layer"))
    await world.link("alpha/app", blob_digest("cache config"), size=10)
    await world.put("alpha/app", cache, "cache")

    served = await world.resolve_blob("alpha/app", blob_digest("cache config"))
    assert served.media_type == "application/vnd.buildkit.cacheconfig.v0"


async def test_foreign_layers_never_arrive_and_are_not_missed(world: World) -> None:
    foreign = descriptor("foreign", 5000, media_types.DOCKER_FOREIGN_LAYER, urls=["https://example.com/layer"])
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": descriptor("config", 10, media_types.DOCKER_CONFIG),
        "layers": [foreign],
    }
    pushed = Image(json.dumps(document).encode(), media_types.DOCKER_MANIFEST, {blob_digest("config"): 10})

    await world.push("alpha/app", pushed, "v1")

    assert await world.value("SELECT size FROM artifact") == len(pushed.content) + 10 + 5000
    assert await world.used_bytes() == len(pushed.content) + 10


async def test_an_empty_index_may_begin_a_repository(world: World) -> None:
    await world.put("alpha/new", index([]), "empty")

    assert (await world.resolve("alpha/new", "empty")).content == index([]).content


async def test_a_repeated_push_changes_nothing(world: World) -> None:
    pushed = image("one")
    await world.push("alpha/app", pushed, "v1")
    used = await world.used_bytes()
    changes = await world.value("SELECT max(revision) FROM change")

    again = await world.push("alpha/app", pushed, "v1")

    assert again.existed
    assert await world.used_bytes() == used
    assert await world.value("SELECT max(revision) FROM change") == changes
    assert await world.value("SELECT count(*) FROM artifact") == 1


async def test_the_digest_is_the_key_whatever_type_the_same_bytes_come_with(world: World) -> None:
    document = json.loads(image("one").content)
    del document["mediaType"]
    untyped = Image(json.dumps(document).encode(), media_types.OCI_MANIFEST, image("one").blobs)
    await world.push("alpha/app", untyped, "v1")

    again = await world.put("alpha/app", untyped, "v2", media_type="application/vnd.oci.image.manifest.v1+json; a=b")

    assert again.existed
    assert (await world.resolve("alpha/app", "v2")).media_type == media_types.OCI_MANIFEST


async def test_a_digest_names_the_content_and_several_tags_move_at_once(world: World) -> None:
    pushed = image("one")
    for digest, size in pushed.blobs.items():
        await world.link("alpha/app", digest, size=size)

    assert await reason_of(world.put("alpha/app", pushed, digest_of(b"something else"))) == "DIGEST_INVALID"
    assert await reason_of(world.put("alpha/app", pushed, "v1", tags=["v2"])) == "BAD_REQUEST"
    many = [f"v{number}" for number in range(20)]
    answer = await world.put("alpha/app", pushed, pushed.digest, tags=[*many, "v0"])

    assert answer.tags == tuple(many)
    for tag in many:
        assert (await world.resolve("alpha/app", tag, content=False)).digest == pushed.digest


async def test_sha512_names_a_manifest_as_well(world: World) -> None:
    pushed = image("one")
    named = f"sha512:{hashlib.sha512(pushed.content).hexdigest()}"

    answer = await world.push("alpha/app", pushed, named)

    assert answer.digest == named
    assert (await world.resolve("alpha/app", named)).content == pushed.content
    assert await reason_of(world.resolve("alpha/app", pushed.digest)) == "MANIFEST_UNKNOWN"


async def test_a_manifest_of_four_mebibytes_is_taken_and_a_larger_one_is_not(world: World) -> None:
    def padded(size: int) -> Image:
        content = image("one", annotations={"pad": ""}).content
        filled = content.replace(b'"pad": ""', b'"pad": "' + b"x" * (size - len(content)) + b'"')
        return Image(filled, media_types.OCI_MANIFEST, image("one").blobs)

    largest = padded(4 * 1024 * 1024)
    assert len(largest.content) == 4 * 1024 * 1024
    await world.push("alpha/app", largest, "big")
    assert (await world.resolve("alpha/app", "big")).content == largest.content

    assert await reason_of(world.put("alpha/app", padded(4 * 1024 * 1024 + 1), "big")) == "MANIFEST_TOO_LARGE"


async def test_conditions_hold_a_tag_to_what_the_caller_saw(world: World) -> None:
    one, two = image("one"), image("two")
    for pushed in (one, two):
        for digest, size in pushed.blobs.items():
            await world.link("alpha/app", digest, size=size)

    assert await reason_of(world.put("alpha/app", one, "v1", if_match=["*"])) == "PRECONDITION"
    await world.put("alpha/app", one, "v1", if_none_match=["*"])
    assert await reason_of(world.put("alpha/app", two, "v1", if_none_match=["*"])) == "PRECONDITION"
    assert await reason_of(world.put("alpha/app", two, "v1", if_none_match=[one.digest])) == "PRECONDITION"
    assert await reason_of(world.put("alpha/app", two, "v1", if_match=[two.digest])) == "PRECONDITION"
    assert (await world.resolve("alpha/app", "v1", content=False)).digest == one.digest

    await world.put("alpha/app", two, "v1", if_match=[two.digest, one.digest])

    assert (await world.resolve("alpha/app", "v1", content=False)).digest == two.digest


async def test_a_delete_keeps_its_condition_and_deletes_nothing_else(world: World) -> None:
    one, two = image("one"), image("two")
    await world.push("alpha/app", one, "v1")
    await world.push("alpha/app", two, "v2")
    before = await world.changes()

    for reference in ("v1", one.digest):
        assert await reason_of(world.delete("alpha/app", reference, if_match=[two.digest])) == "PRECONDITION"
        assert await reason_of(world.delete("alpha/app", reference, if_none_match=[one.digest])) == "PRECONDITION"
    assert await world.changes() == before
    assert (await world.resolve("alpha/app", "v1")).digest == one.digest
    # A condition counts only if the manifest exists (RFC 9110 §13.2.1).
    for reference in ("v3", image("three").digest):
        assert await reason_of(world.delete("alpha/app", reference, if_match=[two.digest])) == "MANIFEST_UNKNOWN"
        assert await reason_of(world.delete("alpha/app", reference, if_none_match=["*"])) == "MANIFEST_UNKNOWN"

    await world.delete("alpha/app", "v1", if_match=[two.digest, one.digest])
    await world.delete("alpha/app", two.digest, if_match=["*"], if_none_match=[one.digest])

    assert await world.rows("SELECT name FROM tag") == []
    assert [row.digest for row in await world.rows("SELECT digest FROM artifact")] == [one.digest]


async def test_a_tag_that_moves_during_a_conditional_delete_stays(world: World) -> None:
    one, two = image("one"), image("two")
    await world.push("alpha/app", two, "other")
    for _ in range(8):
        await world.push("alpha/app", one, "v1")
        moved, deleted = await asyncio.gather(
            world.put("alpha/app", two, "v1"),
            world.delete("alpha/app", "v1", if_match=[one.digest]),
            return_exceptions=True,
        )
        assert isinstance(moved, PushedManifest)
        if isinstance(deleted, DomainError):
            assert deleted.reason == "PRECONDITION"
        # Either way, the tag that the push has moved is there.
        assert (await world.resolve("alpha/app", "v1")).digest == two.digest


async def test_the_quota_counts_manifests_and_refuses_one_whole(world: World) -> None:
    pushed = image("one", layer_size=900)
    for digest, size in pushed.blobs.items():
        await world.link("small/app", digest, size=size, project_id=3)

    assert await reason_of(world.put("small/app", pushed, "v1", project_id=3)) == "QUOTA_EXCEEDED"

    assert await reason_of(world.resolve("small/app", "v1", project_id=3)) == "MANIFEST_UNKNOWN"
    assert await world.used_bytes(3) == 910


async def test_every_move_of_a_tag_is_in_its_history_at_its_revision(world: World) -> None:
    one, two = image("one"), image("two")
    await world.push("alpha/app", one, "v1")
    await world.push("alpha/app", two, "v1")
    await world.delete("alpha/app", "v1")

    moves = await world.rows("SELECT * FROM tag_history ORDER BY revision")
    assert [(move.previous_digest, move.digest) for move in moves] == [
        ("", one.digest),
        (one.digest, two.digest),
        (two.digest, ""),
    ]
    changes = {row.revision: row for row in await world.rows("SELECT * FROM change ORDER BY revision")}
    assert list(changes) == list(range(1, len(changes) + 1))
    for move in moves:
        assert changes[move.revision].reference == "v1"
        for row in (changes[move.revision], move):
            assert (row.actor_kind, row.actor_id, row.actor_name) == ("user", 7, "ann")
    assert [row.kind for row in changes.values()] == [
        "manifest_put",
        "tag_put",
        "manifest_put",
        "tag_put",
        "tag_delete",
    ]


async def test_deleting_a_tag_leaves_the_manifest_and_deleting_a_manifest_takes_its_tags(world: World) -> None:
    pushed = image("one")
    await world.push("alpha/app", pushed, "v1")
    await world.put("alpha/app", pushed, "v2")

    await world.delete("alpha/app", "v1")
    assert await reason_of(world.resolve("alpha/app", "v1")) == "MANIFEST_UNKNOWN"
    assert (await world.resolve("alpha/app", pushed.digest)).content == pushed.content

    await world.delete("alpha/app", pushed.digest)
    for reference in ("v2", pushed.digest):
        assert await reason_of(world.resolve("alpha/app", reference)) == "MANIFEST_UNKNOWN"
        assert await reason_of(world.delete("alpha/app", reference)) == "MANIFEST_UNKNOWN"
    for table in ("manifest", "tag", "artifact_blob"):
        assert await world.value(f"SELECT count(*) FROM {table}") == 0  # noqa: S608 - names of ours
    # The blobs stay linked, because a running push may rely on them. The project is not charged for them.
    assert await world.value("SELECT count(*) FROM repository_blob") == 2
    assert await world.used_bytes() == 0


async def test_what_loses_a_reference_is_queued_for_review(world: World) -> None:
    child = image("child")
    both = index([child])
    await world.push("alpha/app", child)
    await world.put("alpha/app", both, "v1")
    world.later(days=3)

    await world.put("alpha/app", child, "v1")
    reasons = {row.digest: row.reason for row in await world.rows("SELECT * FROM review WHERE kind = 'manifest'")}
    assert reasons[both.digest] == "untagged"

    await world.delete("alpha/app", both.digest)
    reasons = {row.digest: row.reason for row in await world.rows("SELECT * FROM review WHERE kind = 'manifest'")}
    assert reasons == {child.digest: "parent_deleted"}
    await world.delete("alpha/app", child.digest)

    due = str(POLICY.due_time(world.now).replace(tzinfo=None))
    reviews = [row for row in await world.rows("SELECT * FROM review") if str(row.due_time).startswith(due)]
    assert {(row.kind, row.digest, row.reason) for row in reviews} == {
        *(("blob", digest, "manifest_deleted") for digest in child.blobs),
    }


async def test_racing_pushes_of_one_tag_make_one_chain(world: World) -> None:
    images = [image(f"number {number}") for number in range(12)]
    for pushed in images:
        for digest, size in pushed.blobs.items():
            await world.link("alpha/app", digest, size=size)

    await asyncio.gather(*(world.put("alpha/app", pushed, "latest") for pushed in images))

    moves = await world.rows("SELECT digest, previous_digest FROM tag_history ORDER BY revision")
    assert len(moves) == len(images)
    before = ""
    for move in moves:
        assert move.previous_digest == before
        before = move.digest
    assert (await world.resolve("alpha/app", "latest", content=False)).digest == before


async def test_of_racing_pushes_that_want_a_new_tag_one_wins(world: World) -> None:
    images = [image(f"number {number}") for number in range(8)]
    for pushed in images:
        for digest, size in pushed.blobs.items():
            await world.link("alpha/app", digest, size=size)

    results = await asyncio.gather(
        *(world.put("alpha/app", pushed, "lock", if_none_match=["*"]) for pushed in images), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, DomainError)]
    assert len(refused) == len(images) - 1
    assert {error.reason for error in refused} == {"PRECONDITION"}


async def test_the_same_manifest_pushed_many_times_at_once_is_one(world: World) -> None:
    pushed = image("one")
    for digest, size in pushed.blobs.items():
        await world.link("alpha/app", digest, size=size)

    answers = await asyncio.gather(*(world.put("alpha/app", pushed, f"v{number}") for number in range(10)))

    assert [answer.existed for answer in answers].count(False) == 1
    assert await world.value("SELECT count(*) FROM artifact") == 1
    assert await world.used_bytes() == 110 + len(pushed.content)


async def test_revisions_are_given_in_the_order_of_commits(world: World) -> None:
    """A reader that has seen a revision never finds a smaller one later (what a sequence would break)."""
    images = [image(f"number {number}") for number in range(10)]
    for pushed in images:
        for digest, size in pushed.blobs.items():
            await world.link("alpha/app", digest, size=size)
    done = asyncio.Event()

    async def watch() -> list[int]:
        seen: list[int] = []
        while True:
            finished = done.is_set()
            rows = await world.rows("SELECT revision FROM change ORDER BY revision")
            current = [row.revision for row in rows]
            assert current[: len(seen)] == seen, "a revision came after a larger one had been seen"
            seen = current
            if finished:
                return seen

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(world.put("alpha/app", pushed, f"v{n}") for n, pushed in enumerate(images)))
    done.set()
    assert await watching == list(range(1, 21))


async def test_deletes_and_pushes_of_an_index_leave_no_index_without_its_child(world: World) -> None:
    child = image("child")
    both = index([child])
    for _ in range(10):
        await world.push("alpha/app", child)
        put, deleted = await asyncio.gather(
            world.put("alpha/app", both), world.delete("alpha/app", child.digest), return_exceptions=True
        )
        orphans = await world.value(
            "SELECT count(*) FROM artifact_reference r LEFT JOIN artifact a ON a.id = r.child_id WHERE a.id IS NULL"
        )
        assert orphans == 0
        if isinstance(deleted, DomainError):
            assert deleted.reason == "PRECONDITION"
            await world.delete("alpha/app", both.digest)
        else:
            assert isinstance(put, DomainError)
            assert put.reason == "MANIFEST_BLOB_UNKNOWN"
