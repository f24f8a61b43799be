"""Many reads at once: one query, and each is answered as if it had come alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Any

import pytest
from google.rpc.status_pb2 import Status

from metasvc.domain.blob_read import resolve_blobs
from metasvc.domain.manifest_read import LARGEST_IN_BATCH_BYTES, resolve_manifests
from metasvc.domain.model import ServedBlob, StoredManifest, WantedBlob, WantedManifest
from roadstead.access.v1.member_pb2 import ComeAlone as Reason
from roadstead.access.v1.member_pb2 import MemberCall
from roadstead.meta.v1 import blob_link_service_pb2 as blob_pb
from roadstead.meta.v1 import manifest_service_pb2 as manifest_pb
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from svckit.alone import AloneBecause, ComeAlone
from svckit.errors import DomainError
from svckit.errors.status import from_status
from svckit.oci.reference import Reference
from svckit.sql.statements import rows_json
from svckit.tokens import Grant
from tests.contract.metasvc.remote import Remote, serving
from tests.contract.metasvc.statements import sent_statements
from tests.contract.metasvc.world import MIB, World, blob_digest, image, index
from tests.harness.keyring import Metadata, from_service

APP = "alpha/app"
ABSENT = blob_digest("absent")


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    async with serving(world) as served:
        yield served


def wanted(reference: str, *, repository: str = APP, project_id: int = 1, content: bool = True, held: str = "") -> Any:
    return WantedManifest(project_id, repository, Reference.parse(reference), content, held)


def told(outcome: StoredManifest | ServedBlob | DomainError | ComeAlone) -> object:
    match outcome:
        case ComeAlone():
            return outcome.because
        case DomainError():
            return outcome.reason
        case _:
            return outcome.digest


async def alone(read: Awaitable[Any]) -> object:
    try:
        return (await read).digest
    except DomainError as error:
        return error.reason


async def test_a_batch_of_all_kinds_is_one_query_and_answers_as_single_reads_do(world: World) -> None:
    one, two, other = image("one"), image("two"), image("other")
    await world.push(APP, one, "v1")
    await world.push(APP, two, "v2")
    await world.push("beta/app", other, "v1", project_id=2)
    asked: Sequence[tuple[str, str, int]] = [
        (APP, "v1", 1),
        (APP, "v2", 1),
        (APP, "v1", 1),
        (APP, two.digest, 1),
        (APP, "absent", 1),
        (APP, other.digest, 1),
        ("alpha/none", "v1", 1),
        # The token's project is another one than that of the repository.
        (APP, "v1", 2),
        ("beta/app", "v1", 2),
        ("beta/app", other.digest, 2),
        (APP, ABSENT, 1),
    ]

    singly = [await alone(world.resolve(name, ref, project_id=project)) for name, ref, project in asked]
    with sent_statements("SELECT", "WITH") as sent:
        together = await resolve_manifests(
            world.ports, [wanted(ref, repository=name, project_id=project) for name, ref, project in asked]
        )

    assert [told(outcome) for outcome in together] == singly
    assert singly.count("MANIFEST_UNKNOWN") == 5
    assert len(sent) == 1
    contents = {each.digest: each.content for each in together if isinstance(each, StoredManifest)}
    assert contents == {each.digest: each.content for each in (one, two, other)}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each query was given."""
    counts: list[int] = []

    def counted(given: Iterable[Any]) -> str:
        kept = list(given)
        counts.append(len(kept))
        return rows_json(kept)

    monkeypatch.setattr("metasvc.store.reads.rows_json", counted)
    return counts


async def test_what_many_ask_for_in_one_batch_is_looked_up_once(world: World, rows: list[int]) -> None:
    one, two = image("one"), image("two")
    await world.push(APP, one, "v1")
    await world.push(APP, two, "v2")
    rows.clear()
    kinds = [
        (wanted("v1"), one.digest, one.content),
        (wanted("v1", content=False), one.digest, None),
        (wanted("v1", held=one.digest), one.digest, None),
        (wanted("v1", held=two.digest), one.digest, one.content),
        (wanted(one.digest), one.digest, one.content),
        (wanted("v2"), two.digest, two.content),
        (wanted("absent"), "MANIFEST_UNKNOWN", None),
        (wanted("v1", repository="alpha/none"), "MANIFEST_UNKNOWN", None),
        (wanted("v1", project_id=2), "MANIFEST_UNKNOWN", None),
    ]

    together = await resolve_manifests(world.ports, [each for each, _, _ in kinds] * 7)

    assert rows == [len(kinds)]
    assert [told(each) for each in together] == [digest for _, digest, _ in kinds] * 7
    assert [each.content if isinstance(each, StoredManifest) else None for each in together] == [
        content for _, _, content in kinds
    ] * 7


async def test_a_blob_that_many_ask_for_in_one_batch_is_looked_up_once(world: World, rows: list[int]) -> None:
    document = image("one")
    await world.push(APP, document, "v1")
    rows.clear()
    digests = [*document.blobs, ABSENT]

    together = await resolve_blobs(world.ports, [WantedBlob(1, APP, digest) for digest in digests] * 5)

    assert rows == [len(digests)]
    assert [told(each) for each in together] == [*document.blobs, "BLOB_UNKNOWN"] * 5


async def test_heads_and_gets_of_one_manifest_stand_in_one_batch(world: World) -> None:
    pushed = image("one")
    await world.push(APP, pushed, "v1")

    head, get, by_digest = await resolve_manifests(
        world.ports, [wanted("v1", content=False), wanted("v1"), wanted(pushed.digest, content=False)]
    )

    assert isinstance(head, StoredManifest)
    assert isinstance(get, StoredManifest)
    assert isinstance(by_digest, StoredManifest)
    assert (head.content, get.content, by_digest.content) == (None, pushed.content, None)
    assert head.size == get.size == len(pushed.content)


async def test_held_bytes_are_left_out_only_where_the_reference_names_them(world: World) -> None:
    old, new = image("old"), image("new")
    await world.push(APP, old, "v1")
    await world.push(APP, new, "v1")

    right, stale, foreign = await resolve_manifests(
        world.ports, [wanted("v1", held=new.digest), wanted("v1", held=old.digest), wanted("absent", held=new.digest)]
    )

    assert isinstance(right, StoredManifest)
    assert isinstance(stale, StoredManifest)
    assert (right.digest, right.content) == (new.digest, None)
    assert (stale.digest, stale.content) == (new.digest, new.content)
    # Who holds bytes has no right to them because of that.
    assert told(foreign) == "MANIFEST_UNKNOWN"


async def test_each_repository_answers_with_the_media_type_of_its_own_push(world: World) -> None:
    document = image("one")
    plain = "application/vnd.docker.distribution.manifest.v2+json"
    await world.push(APP, document, "v1")
    for digest, size in document.blobs.items():
        await world.link("alpha/other", digest, size=size)
    await world.execute("UPDATE artifact SET manifest_media_type = manifest_media_type")
    await world.put("alpha/other", document, "v1")
    await world.execute(
        "UPDATE artifact SET manifest_media_type = :type WHERE repository_name = 'alpha/other'", type=plain
    )

    found = await resolve_manifests(
        world.ports, [wanted("v1", held=document.digest), wanted("v1", repository="alpha/other", held=document.digest)]
    )

    assert [each.media_type for each in found if isinstance(each, StoredManifest)] == [document.media_type, plain]


async def test_a_large_manifest_must_come_alone_unless_its_bytes_are_held(world: World) -> None:
    large = image("large", annotations={"pad": "x" * LARGEST_IN_BATCH_BYTES})
    largest = image("largest", annotations={"pad": ""})
    largest = image("largest", annotations={"pad": "x" * (LARGEST_IN_BATCH_BYTES - len(largest.content))})
    await world.push(APP, large, "large")
    await world.push(APP, largest, "largest")
    assert len(largest.content) == LARGEST_IN_BATCH_BYTES

    found = await resolve_manifests(
        world.ports,
        [wanted("large"), wanted("largest"), wanted("large", held=large.digest), wanted("large", content=False)],
    )

    assert [told(each) for each in found] == [AloneBecause.SIZE, largest.digest, large.digest, large.digest]


async def test_a_head_that_must_be_noted_comes_alone_and_nothing_is_written_for_it(world: World) -> None:
    child, free = image("child"), image("free")
    await world.push(APP, child)
    await world.push(APP, free, "free")
    await world.put(APP, index([child]), "v1")
    world.later(hours=1)

    async def batch() -> list[object]:
        keys = [wanted(child.digest, content=False), wanted("free", content=False), wanted(child.digest)]
        return [told(outcome) for outcome in await resolve_manifests(world.ports, keys)]

    with sent_statements("UPDATE", "INSERT") as written:
        assert await batch() == [AloneBecause.WRITE, free.digest, child.digest]
    assert written == []
    await world.resolve(APP, child.digest, content=False)
    # It is noted now, so for a while it need not come alone.
    assert await batch() == [child.digest, free.digest, child.digest]


async def test_blobs_are_one_query_and_answer_as_single_reads_do(world: World) -> None:
    pushed = image("one")
    await world.push(APP, pushed, "v1")
    await world.link("beta/app", blob_digest("beta"), project_id=2)
    await world.link(APP, blob_digest("condemned"))
    await world.execute("UPDATE blob SET state = 'condemned' WHERE digest = :digest", digest=blob_digest("condemned"))
    asked = [
        (1, APP, blob_digest("base")),
        (1, APP, blob_digest("config of one")),
        (1, APP, ABSENT),
        (1, APP, blob_digest("beta")),
        (2, "beta/app", blob_digest("beta")),
        (1, "beta/app", blob_digest("beta")),
        (1, APP, blob_digest("condemned")),
    ]

    singly = [
        await alone(world.resolve_blob(name, digest, project_id=project_id)) for project_id, name, digest in asked
    ]
    with sent_statements("SELECT", "WITH") as sent:
        together = await resolve_blobs(world.ports, [WantedBlob(*key) for key in asked])

    assert [told(outcome) for outcome in together] == singly
    assert singly.count("BLOB_UNKNOWN") == 4
    assert len(sent) == 1
    base = together[0]
    assert isinstance(base, ServedBlob)
    assert base == await world.resolve_blob(APP, blob_digest("base"))
    assert base.media_type


async def test_a_blob_whose_review_is_near_must_come_alone(world: World) -> None:
    await world.link(APP, blob_digest("near"))
    world.later(hours=23)
    await world.link(APP, blob_digest("far"))
    keys = [WantedBlob(1, APP, blob_digest("near")), WantedBlob(1, APP, blob_digest("far"))]

    assert [told(each) for each in await resolve_blobs(world.ports, keys)] == [
        AloneBecause.WRITE,
        blob_digest("far"),
    ]
    await world.resolve_blob(APP, blob_digest("near"))
    assert [told(each) for each in await resolve_blobs(world.ports, keys)] == [key.digest for key in keys]


async def test_a_batch_sees_every_write_that_was_acknowledged_before_it(world: World) -> None:
    for number in range(20):
        pushed = image(f"move {number}")
        await world.push(APP, pushed, "v1")
        both = await asyncio.gather(*(resolve_manifests(world.ports, [wanted("v1")] * 5) for _ in range(2)))
        assert {told(each) for batch in both for each in batch} == {pushed.digest}


def gateway(remote: Remote) -> Metadata:
    return from_service(remote.keyring.service_token("gateway"))


def outcome(answer: Any) -> str:
    match answer.WhichOneof("outcome"):
        case "error":
            return from_status(answer.error).reason
        case "come_alone":
            return Reason.Name(answer.come_alone)
        case kind:
            return str(kind)


async def test_members_of_many_callers_over_the_rpc(remote: Remote, world: World) -> None:
    pushed = image("one")
    await world.push(APP, pushed, "v1")
    sign = remote.keyring
    good = sign.registry_token((APP, "pull", 1))
    member = manifest_pb.ResolveManifestsRequest.Member
    cases: list[tuple[Any, str]] = [
        (member(call=MemberCall(token=good), repository=APP, reference="v1"), "manifest"),
        (member(call=MemberCall(token=good), repository=APP, reference=pushed.digest, omit_content=True), "manifest"),
        (member(call=MemberCall(token=good), repository=APP, reference="no tag!"), "TAG_INVALID"),
        (member(call=MemberCall(token=good), repository=APP, reference="sha256:12"), "DIGEST_INVALID"),
        (member(call=MemberCall(token=good), repository=APP, reference="a\0b"), "TAG_INVALID"),
        (member(call=MemberCall(token=good), repository=APP, reference="t" * 300), "TAG_INVALID"),
        (
            member(call=MemberCall(token=good), repository=APP, reference="v1", held_digest="sha256:1"),
            "DIGEST_INVALID",
        ),
        (member(call=MemberCall(token=good), repository="Alpha/App", reference="v1"), "INSUFFICIENT_SCOPE"),
        (member(call=MemberCall(token=good), repository="alpha/other", reference="v1"), "INSUFFICIENT_SCOPE"),
        (member(call=MemberCall(token=good), repository=APP, reference="absent"), "MANIFEST_UNKNOWN"),
        (
            member(call=MemberCall(token=sign.registry_token((APP, "pull", 2))), repository=APP, reference="v1"),
            "MANIFEST_UNKNOWN",
        ),
        (member(call=MemberCall(token="x.y.z"), repository=APP, reference="v1"), "UNAUTHORIZED"),
        (member(call=MemberCall(token=sign.identity_token()), repository=APP, reference="v1"), "COME_ALONE_ACCESS"),
        (member(repository=APP, reference="v1"), "COME_ALONE_ACCESS"),
    ]

    stub = ManifestServiceStub(remote.channel)
    request = manifest_pb.ResolveManifestsRequest(members=[each for each, _ in cases])
    answers = (await stub.ResolveManifests(request, metadata=gateway(remote))).answers

    assert [outcome(answer) for answer in answers] == [expected for _, expected in cases]
    assert answers[0].manifest.content == pushed.content
    assert answers[1].manifest.content == b""
    assert answers[1].manifest.size_bytes == len(pushed.content)


async def test_a_member_gets_the_same_error_as_a_call_of_its_own(remote: Remote) -> None:
    token = remote.keyring.registry_token((APP, "pull", 1))
    stub = ManifestServiceStub(remote.channel)
    for reference in ("absent", "no tag!", ABSENT):
        with pytest.raises(DomainError) as caught:
            await stub.ResolveManifest(
                manifest_pb.ResolveManifestRequest(repository=APP, reference=reference),
                metadata=(("authorization", f"Bearer {token}"),),
            )
        member = manifest_pb.ResolveManifestsRequest.Member(
            call=MemberCall(token=token), repository=APP, reference=reference
        )
        request = manifest_pb.ResolveManifestsRequest(members=[member])
        (answer,) = (await stub.ResolveManifests(request, metadata=gateway(remote))).answers
        status: Status = answer.error
        error = from_status(status)
        assert (error.reason, error.message, error.metadata) == (
            caught.value.reason,
            caught.value.message,
            caught.value.metadata,
        )


async def test_pulls_in_a_batch_are_counted_also_where_the_bytes_are_held_and_heads_are_not(
    remote: Remote, world: World
) -> None:
    pushed = image("one")
    await world.push(APP, pushed, "v1")
    call = MemberCall(token=remote.keyring.registry_token((APP, "pull", 1)))
    member = manifest_pb.ResolveManifestsRequest.Member
    request = manifest_pb.ResolveManifestsRequest(
        members=[
            member(call=call, repository=APP, reference="v1"),
            member(call=call, repository=APP, reference="v1", held_digest=pushed.digest),
            member(call=call, repository=APP, reference="v1", omit_content=True),
            member(call=call, repository=APP, reference="absent"),
        ]
    )

    await ManifestServiceStub(remote.channel).ResolveManifests(request, metadata=gateway(remote))
    await remote.pulls.flush()

    assert await world.value("SELECT pull_count FROM repository") == 2


async def test_each_member_gets_a_grant_for_its_own_caller(remote: Remote, world: World) -> None:
    await world.link(APP, blob_digest("base"))
    member = blob_pb.ResolveBlobsRequest.Member
    tokens = {
        subject: remote.keyring.registry_token((APP, "pull", 1), subject=subject)
        for subject in ("user:7", "robot:12", "anonymous")
    }
    refused = remote.keyring.registry_token(("alpha/other", "pull", 1))
    members = [
        *(member(call=MemberCall(token=each), repository=APP, digest=blob_digest("base")) for each in tokens.values()),
        member(call=MemberCall(token=refused), repository=APP, digest=blob_digest("base")),
        member(call=MemberCall(token=tokens["user:7"]), repository=APP, digest=ABSENT),
        member(call=MemberCall(token=tokens["user:7"]), repository=APP, digest="sha256:1"),
        member(repository=APP, digest=blob_digest("base")),
    ]

    request = blob_pb.ResolveBlobsRequest(members=members)
    answers = (await BlobLinkServiceStub(remote.channel).ResolveBlobs(request, metadata=gateway(remote))).answers

    assert [outcome(answer) for answer in answers] == [
        "blob",
        "blob",
        "blob",
        "INSUFFICIENT_SCOPE",
        "BLOB_UNKNOWN",
        "DIGEST_INVALID",
        "COME_ALONE_ACCESS",
    ]
    grants = [remote.keyring.verifier().verify(answer.blob.grant, Grant) for answer in answers[:3]]
    assert [grant.subject for grant in grants] == list(tokens)
    assert {(grant.repository, grant.digest, grant.size) for grant in grants} == {(APP, blob_digest("base"), 100)}


async def test_a_grant_is_left_out_only_for_the_generation_that_is_served_and_held(
    remote: Remote, world: World
) -> None:
    digest = blob_digest("base")
    await world.link(APP, digest)
    generation = await world.value("SELECT generation FROM blob WHERE digest = :digest", digest=digest)
    member = blob_pb.ResolveBlobsRequest.Member
    good = MemberCall(token=remote.keyring.registry_token((APP, "pull", 1)))
    stranger = MemberCall(token=remote.keyring.registry_token(("alpha/other", "pull", 1)))
    members = [
        member(call=good, repository=APP, digest=digest, held_generation=generation),
        member(call=good, repository=APP, digest=digest, held_generation=generation + 1),
        member(call=good, repository=APP, digest=digest),
        # Who holds a placement has no right because of that.
        member(call=good, repository=APP, digest=ABSENT, held_generation=generation),
        member(call=stranger, repository=APP, digest=digest, held_generation=generation),
        member(call=good, repository=APP, digest=digest, held_generation=-1),
    ]

    request = blob_pb.ResolveBlobsRequest(members=members)
    answers = (await BlobLinkServiceStub(remote.channel).ResolveBlobs(request, metadata=gateway(remote))).answers

    assert [outcome(answer) for answer in answers] == [
        *["blob"] * 3,
        "BLOB_UNKNOWN",
        "INSUFFICIENT_SCOPE",
        "BAD_REQUEST",
    ]
    assert [bool(answer.blob.grant) for answer in answers[:3]] == [False, True, True]
    assert {answer.blob.generation for answer in answers[:3]} == {generation}
    granted = remote.keyring.verifier().verify(answers[1].blob.grant, Grant)
    assert granted.generation == generation


async def test_a_full_batch_fits_into_a_message(remote: Remote, world: World) -> None:
    pad = image("largest", annotations={"pad": ""})
    largest = image("largest", annotations={"pad": "x" * (LARGEST_IN_BATCH_BYTES - len(pad.content))})
    await world.push(APP, largest, "v1")
    call = MemberCall(token=remote.keyring.registry_token((APP, "pull", 1)))
    member = manifest_pb.ResolveManifestsRequest.Member(call=call, repository=APP, reference="v1")
    request = manifest_pb.ResolveManifestsRequest(members=[member] * 64)

    answer = await ManifestServiceStub(remote.channel).ResolveManifests(request, metadata=gateway(remote))

    assert {each.manifest.content for each in answer.answers} == {largest.content}
    assert 2 * MIB < answer.ByteSize() < 3 * MIB


async def test_nobody_but_the_gateway_sends_batches(remote: Remote) -> None:
    token = remote.keyring.registry_token((APP, "pull", 1))
    for metadata, reason in (
        ((), "UNAUTHORIZED"),
        ((("authorization", f"Bearer {token}"),), "UNAUTHORIZED"),
        (from_service(remote.keyring.service_token("blobsvc")), "FORBIDDEN"),
        ((("x-roadstead-acting", remote.keyring.acting_token("jobsvc", "metasvc")),), "FORBIDDEN"),
    ):
        with pytest.raises(DomainError) as caught:
            await ManifestServiceStub(remote.channel).ResolveManifests(
                manifest_pb.ResolveManifestsRequest(), metadata=metadata
            )
        assert caught.value.reason == reason
