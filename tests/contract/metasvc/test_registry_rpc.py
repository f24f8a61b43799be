"""The RPCs behind /v2: who may call them, and that a digest alone gives no access."""

import time
from collections.abc import AsyncIterator, Awaitable

import pytest

from roadstead.meta.v1.blob_link_service_pb2 import (
    LinkBlobRequest,
    MountBlobRequest,
    ResolveBlobRequest,
    UnlinkBlobRequest,
)
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from roadstead.meta.v1.manifest_service_pb2 import (
    DeleteManifestRequest,
    PutManifestRequest,
    PutManifestResponse,
    ResolveManifestRequest,
)
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from roadstead.meta.v1.project_service_pb2 import (
    DeleteProjectRequest,
    GetProjectDeletableRequest,
    ListProjectUsagesRequest,
)
from roadstead.meta.v1.project_service_pb2_grpc import ProjectServiceStub
from roadstead.meta.v1.referrer_service_pb2 import ListReferrersRequest
from roadstead.meta.v1.referrer_service_pb2_grpc import ReferrerServiceStub
from roadstead.meta.v1.repository_service_pb2 import ListCatalogRequest
from roadstead.meta.v1.repository_service_pb2_grpc import RepositoryServiceStub
from roadstead.meta.v1.tag_service_pb2 import ListTagNamesRequest
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceStub
from svckit.errors import DomainError
from svckit.oci import media_types
from svckit.tokens import Grant
from tests.contract.metasvc.remote import Remote, serving
from tests.contract.metasvc.world import Image, World, blob_digest, image
from tests.harness.keyring import Metadata, bearer, from_service

DIGEST = blob_digest("layer")
APP = "alpha/app"


@pytest.fixture
async def remote(world: World) -> AsyncIterator[Remote]:
    async with serving(world) as served:
        yield served


async def reason_of(call: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await call
    return caught.value.reason


async def link(remote: Remote, repository: str, digest: str, *, project_id: int = 1, size: int = 100) -> None:
    receipt = remote.keyring.receipt(repository, digest, project_id=project_id, size=size)
    metadata = bearer(remote.keyring.registry_token((repository, "push", project_id)))
    request = LinkBlobRequest(receipt=receipt, repository=repository)
    await BlobLinkServiceStub(remote.channel).LinkBlob(request, metadata=metadata)


async def push(remote: Remote, pushed: Image, reference: str, caller: Metadata) -> PutManifestResponse:
    for digest, size in pushed.blobs.items():
        await link(remote, APP, digest, size=size)
    request = PutManifestRequest(
        repository=APP, reference=reference, media_type=pushed.media_type, content=pushed.content
    )
    answer: PutManifestResponse = await ManifestServiceStub(remote.channel).PutManifest(request, metadata=caller)
    return answer


async def test_a_push_and_a_pull(remote: Remote) -> None:
    caller = bearer(remote.keyring.registry_token((APP, "pull,push,delete", 1)))
    manifests = ManifestServiceStub(remote.channel)
    pushed = image("one")

    answer = await push(remote, pushed, "v1", caller)
    assert (answer.digest, list(answer.tags), answer.existed) == (pushed.digest, ["v1"], False)

    request = ResolveManifestRequest(repository=APP, reference="v1")
    found = (await manifests.ResolveManifest(request, metadata=caller)).manifest
    assert (found.digest, found.content, found.media_type) == (pushed.digest, pushed.content, media_types.OCI_MANIFEST)
    head = ResolveManifestRequest(repository=APP, reference=pushed.digest, omit_content=True)
    found = (await manifests.ResolveManifest(head, metadata=caller)).manifest
    assert (found.content, found.size_bytes) == (b"", len(pushed.content))

    await manifests.DeleteManifest(DeleteManifestRequest(repository=APP, reference=pushed.digest), metadata=caller)
    assert await reason_of(manifests.ResolveManifest(head, metadata=caller)) == "MANIFEST_UNKNOWN"


async def test_a_manifest_of_almost_four_mebibytes_fits_into_a_message(remote: Remote) -> None:
    caller = bearer(remote.keyring.registry_token((APP, "pull,push", 1)))
    large = image("large", annotations={"pad": "x" * 3_900_000})

    await push(remote, large, "large", caller)

    request = ResolveManifestRequest(repository=APP, reference="large")
    found = await ManifestServiceStub(remote.channel).ResolveManifest(request, metadata=caller)
    assert found.manifest.content == large.content


async def test_what_is_missing_is_named_to_the_caller(remote: Remote) -> None:
    caller = bearer(remote.keyring.registry_token((APP, "push", 1)))
    pushed = image("many", layers=[f"layer {number}" for number in range(500)])
    request = PutManifestRequest(repository=APP, reference="v1", content=pushed.content)

    with pytest.raises(DomainError) as caught:
        await ManifestServiceStub(remote.channel).PutManifest(request, metadata=caller)

    assert caught.value.reason == "MANIFEST_BLOB_UNKNOWN"
    assert caught.value.metadata["missing_count"] == "501"
    assert blob_digest("layer 0") in {violation.description for violation in caught.value.violations}


async def test_a_token_opens_the_repositories_and_actions_that_it_names(remote: Remote) -> None:
    await link(remote, APP, DIGEST)
    blobs, manifests = BlobLinkServiceStub(remote.channel), ManifestServiceStub(remote.channel)
    resolve = ResolveBlobRequest(repository=APP, digest=DIGEST)
    puller = bearer(remote.keyring.registry_token((APP, "pull", 1)))

    assert (await blobs.ResolveBlob(resolve, metadata=puller)).size_bytes == 100
    assert await reason_of(blobs.ResolveBlob(resolve)) == "UNAUTHORIZED"
    foreign = bearer(remote.keyring.registry_token(("alpha/other", "pull", 1)))
    assert await reason_of(blobs.ResolveBlob(resolve, metadata=foreign)) == "INSUFFICIENT_SCOPE"
    unlink = UnlinkBlobRequest(repository=APP, digest=DIGEST)
    assert await reason_of(blobs.UnlinkBlob(unlink, metadata=puller)) == "INSUFFICIENT_SCOPE"
    put = PutManifestRequest(repository=APP, reference="v1", content=image("one").content)
    assert await reason_of(manifests.PutManifest(put, metadata=puller)) == "INSUFFICIENT_SCOPE"


async def test_a_project_that_was_made_again_shows_nothing_of_the_old_one(remote: Remote) -> None:
    await link(remote, APP, DIGEST)
    newer = bearer(remote.keyring.registry_token((APP, "pull", 11)))

    request = ResolveBlobRequest(repository=APP, digest=DIGEST)
    assert await reason_of(BlobLinkServiceStub(remote.channel).ResolveBlob(request, metadata=newer)) == "BLOB_UNKNOWN"


async def test_a_grant_says_what_may_be_read_and_by_whom(remote: Remote) -> None:
    await link(remote, APP, DIGEST)
    caller = bearer(remote.keyring.registry_token((APP, "pull", 1), subject="robot:3"))

    answer = await BlobLinkServiceStub(remote.channel).ResolveBlob(
        ResolveBlobRequest(repository=APP, digest=DIGEST), metadata=caller
    )

    grant = remote.keyring.verifier().verify(answer.grant, Grant)
    assert (grant.subject, grant.repository, grant.project_id) == ("robot:3", APP, 1)
    assert (grant.digest, grant.generation, grant.size) == (DIGEST, 1, 100)


async def test_a_link_needs_a_receipt_of_blobsvcs_for_that_repository(remote: Remote) -> None:
    blobs, keyring = BlobLinkServiceStub(remote.channel), remote.keyring
    pusher = bearer(keyring.registry_token((APP, "push", 1), ("gone/app", "push", 9)))

    async def refusal(receipt: str, repository: str = APP) -> str:
        request = LinkBlobRequest(receipt=receipt, repository=repository)
        return await reason_of(blobs.LinkBlob(request, metadata=pusher))

    assert await refusal(keyring.receipt(APP, DIGEST, signer=keyring.stranger("blobsvc"))) == "RECEIPT_INVALID"
    assert await refusal("") == "RECEIPT_INVALID"
    assert await refusal(keyring.receipt(APP, DIGEST), "beta/app") == "NAME_UNKNOWN"
    # Nobody may push into a project that does not exist.
    gone = keyring.receipt("gone/app", DIGEST, project_id=9)
    assert await refusal(gone, "gone/app") == "INSUFFICIENT_SCOPE"


async def test_a_receipt_links_for_its_uploader_only(remote: Remote) -> None:
    blobs, keyring = BlobLinkServiceStub(remote.channel), remote.keyring
    request = LinkBlobRequest(receipt=keyring.receipt(APP, DIGEST), repository=APP)
    assert await reason_of(blobs.LinkBlob(request)) == "UNAUTHORIZED"
    for token, reason in (
        ("of.nothing.good", "UNAUTHORIZED"),
        (keyring.registry_token((APP, "push", 1), expired_seconds=600), "UNAUTHORIZED"),
        (keyring.registry_token((APP, "pull", 1)), "INSUFFICIENT_SCOPE"),
        (keyring.registry_token((APP, "push", 1), subject="user:8"), "RECEIPT_INVALID"),
        (keyring.identity_token(8), "RECEIPT_INVALID"),
    ):
        assert await reason_of(blobs.LinkBlob(request, metadata=bearer(token))) == reason
    for token in (keyring.registry_token((APP, "push", 1)), keyring.identity_token()):
        answer = await blobs.LinkBlob(request, metadata=bearer(token))
        assert (answer.digest, answer.size_bytes) == (DIGEST, 100)


async def test_a_token_that_has_expired_since_the_upload_began_links_it(remote: Remote) -> None:
    keyring = remote.keyring
    receipt = keyring.receipt(APP, DIGEST, upload_time=int(time.time()) - 5000)
    request = LinkBlobRequest(receipt=receipt, repository=APP)
    metadata = bearer(keyring.registry_token((APP, "push", 1), expired_seconds=3600))
    answer = await BlobLinkServiceStub(remote.channel).LinkBlob(request, metadata=metadata)
    assert (answer.digest, answer.size_bytes) == (DIGEST, 100)


async def test_a_mount_needs_the_right_to_pull_from_its_source(remote: Remote) -> None:
    await link(remote, "beta/app", DIGEST, project_id=2)
    blobs, keyring = BlobLinkServiceStub(remote.channel), remote.keyring
    named = MountBlobRequest(repository=APP, digest=DIGEST, from_repository="beta/app")
    unnamed = MountBlobRequest(repository=APP, digest=DIGEST)

    only_target = bearer(keyring.registry_token((APP, "pull,push", 1)))
    assert not (await blobs.MountBlob(unnamed, metadata=only_target)).mounted
    push_only = bearer(keyring.registry_token((APP, "pull,push", 1), ("beta/app", "push", 2)))
    assert not (await blobs.MountBlob(named, metadata=push_only)).mounted
    another_project = bearer(keyring.registry_token((APP, "pull,push", 1), ("beta/app", "pull", 22)))
    assert not (await blobs.MountBlob(named, metadata=another_project)).mounted

    both = bearer(keyring.registry_token((APP, "pull,push", 1), ("beta/app", "pull", 2)))
    assert (await blobs.MountBlob(unnamed, metadata=both)).mounted
    mounted = await blobs.MountBlob(named, metadata=both)
    assert (mounted.mounted, mounted.size_bytes) == (True, 100)


async def test_a_mount_by_an_identity_is_judged_for_both_projects(remote: Remote, world: World) -> None:
    await link(remote, "beta/app", DIGEST, project_id=2)
    blobs = BlobLinkServiceStub(remote.channel)
    request = MountBlobRequest(repository=APP, digest=DIGEST, from_repository="beta/app")
    remote.permissions.allowed = {(7, "alpha", "repository", "push")}
    assert not (await blobs.MountBlob(request, metadata=bearer(remote.keyring.identity_token()))).mounted

    remote.permissions.allowed.add((7, "beta", "repository", "pull"))
    assert (await blobs.MountBlob(request, metadata=bearer(remote.keyring.identity_token()))).mounted
    # Linked in the target's project, though the source was judged last.
    assert await world.value("SELECT project_id FROM repository WHERE name = 'alpha/app'") == 1
    assert await world.used_bytes(1) == 100


async def test_tag_names_come_whole_in_parts_or_not_at_all(remote: Remote) -> None:
    caller = bearer(remote.keyring.registry_token((APP, "pull,push", 1)))
    await push(remote, image("one"), "v1", caller)
    await push(remote, image("one"), "v2", caller)
    tags = TagServiceStub(remote.channel)

    async def names(**fields: object) -> tuple[list[str], bool]:
        answer = await tags.ListTagNames(ListTagNamesRequest(repository=APP, **fields), metadata=caller)  # type: ignore[arg-type]
        return list(answer.names), answer.has_more

    assert await names() == (["v1", "v2"], False)
    assert await names(limit=1) == (["v1"], True)
    assert await names(limit=0) == ([], False)
    assert await names(start_after="v1") == (["v2"], False)
    negative = ListTagNamesRequest(repository=APP, limit=-1)
    assert await reason_of(tags.ListTagNames(negative, metadata=caller)) == "BAD_REQUEST"


async def test_referrers_are_paged_by_a_token_that_fits_one_query(remote: Remote) -> None:
    caller = bearer(remote.keyring.registry_token((APP, "pull,push", 1)))
    subject = image("subject")
    described = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.content)}
    for number in range(3):
        answer = await push(remote, image(f"referrer {number}", subject=described), f"r{number}", caller)
        assert answer.subject_digest == subject.digest
    referrers = ReferrerServiceStub(remote.channel)

    first = ListReferrersRequest(repository=APP, digest=subject.digest, page_size=2)
    page = await referrers.ListReferrers(first, metadata=caller)
    assert len(page.referrers) == 2
    token = page.next_page_token
    second = ListReferrersRequest(repository=APP, digest=subject.digest, page_size=2, page_token=token)
    rest = await referrers.ListReferrers(second, metadata=caller)
    assert (len(rest.referrers), rest.next_page_token) == (1, "")
    other = ListReferrersRequest(repository=APP, digest=DIGEST, page_token=token)
    assert await reason_of(referrers.ListReferrers(other, metadata=caller)) == "INVALID_PAGE_TOKEN"
    bad = ListReferrersRequest(repository=APP, digest="sha256:nothing")
    assert await reason_of(referrers.ListReferrers(bad, metadata=caller)) == "DIGEST_INVALID"


async def test_the_catalog_is_for_those_who_may_read_it(remote: Remote) -> None:
    await link(remote, APP, DIGEST)
    repositories = RepositoryServiceStub(remote.channel)
    caller = bearer(remote.keyring.identity_token())
    assert await reason_of(repositories.ListCatalog(ListCatalogRequest(), metadata=caller)) == "FORBIDDEN"

    remote.permissions.allowed = {(7, "", "catalog", "read")}
    answer = await repositories.ListCatalog(ListCatalogRequest(), metadata=caller)
    assert (list(answer.repositories), answer.has_more) == ([APP], False)


async def test_a_project_is_deleted_by_whoever_may_and_counted_for_services(remote: Remote, world: World) -> None:
    await link(remote, APP, DIGEST)
    projects = ProjectServiceStub(remote.channel)
    caller = bearer(remote.keyring.identity_token())
    request = DeleteProjectRequest()
    request.project.name = "alpha"
    assert await reason_of(projects.DeleteProject(request, metadata=caller)) == "PROJECT_UNKNOWN"
    remote.permissions.visible = {(7, "alpha"), (7, "beta")}
    assert await reason_of(projects.DeleteProject(request, metadata=caller)) == "FORBIDDEN"

    remote.permissions.allowed = {(7, "alpha", "project", "delete"), (7, "beta", "project", "delete")}
    assert await reason_of(projects.DeleteProject(request, metadata=caller)) == "PROJECT_NOT_EMPTY"
    asked = GetProjectDeletableRequest()
    asked.project.id = 1
    assert not (await projects.GetProjectDeletable(asked, metadata=caller)).deletable
    request.project.name = "beta"
    await projects.DeleteProject(request, metadata=caller)
    assert world.directory.deleted == [2]

    counted = ListProjectUsagesRequest(project_ids=[1, 2])
    assert await reason_of(projects.ListProjectUsages(counted, metadata=caller)) == "UNAUTHORIZED"
    blobsvc = from_service(remote.keyring.service_token("blobsvc"))
    assert await reason_of(projects.ListProjectUsages(counted, metadata=blobsvc)) == "FORBIDDEN"
    answer = await projects.ListProjectUsages(counted, metadata=from_service(remote.keyring.service_token("gateway")))
    assert [(usage.project_id, usage.repository_count, usage.used_bytes) for usage in answer.usages] == [(1, 1, 100)]


async def test_only_a_pull_of_the_content_is_counted(remote: Remote, world: World) -> None:
    caller = bearer(remote.keyring.registry_token((APP, "pull,push", 1)))
    await push(remote, image("one"), "v1", caller)
    manifests = ManifestServiceStub(remote.channel)
    for omit_content in (True, False, True, False):
        request = ResolveManifestRequest(repository=APP, reference="v1", omit_content=omit_content)
        await manifests.ResolveManifest(request, metadata=caller)

    await remote.pulls.flush()

    assert await world.value("SELECT pull_count FROM repository") == 2
