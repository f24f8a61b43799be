"""The members of a batch: every kind of caller in one RPC of the gateway, each judged as if it had come alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from roadstead.access.v1.member_pb2 import ComeAlone, MemberCall
from roadstead.meta.v1 import blob_link_service_pb2 as blob_pb
from roadstead.meta.v1 import manifest_service_pb2 as manifest_pb
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from svckit.errors.status import from_status
from svckit.tokens import RegistryToken
from svckit.tokens.claims import Access
from tests.access.callers import CALLERS
from tests.access.rights import RIGHTS, may
from tests.access.world import World
from tests.harness.contracts import reason_of
from tests.harness.images import image

ALONE = "COME_ALONE_ACCESS"
KINDS = ("private", "public")


@dataclass(frozen=True)
class Batches:
    """One of the RPCs for batches.

    Attributes:
        single: the RPC for one of its members.
        member: makes a member that reads something that exists in the repository.
        send: sends members with metadata.
    """

    single: str
    member: Callable[[MemberCall, str], Any]
    send: Callable[[World, list[Any], Mapping[str, str]], list[Any]]


def _send_manifests(world: World, members: list[Any], metadata: Mapping[str, str]) -> list[Any]:
    request = manifest_pb.ResolveManifestsRequest(members=members)
    stub = ManifestServiceStub(world.channels["metasvc"])
    return list(stub.ResolveManifests(request, metadata=tuple(metadata.items()), timeout=20).answers)


def _send_blobs(world: World, members: list[Any], metadata: Mapping[str, str]) -> list[Any]:
    request = blob_pb.ResolveBlobsRequest(members=members)
    stub = BlobLinkServiceStub(world.channels["metasvc"])
    return list(stub.ResolveBlobs(request, metadata=tuple(metadata.items()), timeout=20).answers)


def _stream_manifests(world: World, members: list[Any], metadata: Mapping[str, str]) -> list[Any]:
    request = manifest_pb.ResolveManifestBatchesRequest(members=members)
    stub = ManifestServiceStub(world.channels["metasvc"])
    return _second(stub.ResolveManifestBatches, request, metadata)


def _stream_blobs(world: World, members: list[Any], metadata: Mapping[str, str]) -> list[Any]:
    request = blob_pb.ResolveBlobBatchesRequest(members=members)
    stub = BlobLinkServiceStub(world.channels["metasvc"])
    return _second(stub.ResolveBlobBatches, request, metadata)


def _second(call: Any, request: Any, metadata: Mapping[str, str]) -> list[Any]:
    """The answers to the second batch of a stream: the first one must leave nothing behind."""
    answers = list(call(iter([type(request)(members=request.members[:1]), request]), metadata=tuple(metadata.items())))
    assert len(answers) == 2
    return list(answers[1].answers)


def _manifest(call: MemberCall, repository: str) -> Any:
    return manifest_pb.ResolveManifestsRequest.Member(call=call, repository=repository, reference="v1")


def _blob(call: MemberCall, repository: str) -> Any:
    digest = next(iter(image(7).blobs))
    return blob_pb.ResolveBlobsRequest.Member(call=call, repository=repository, digest=digest)


BATCHES = {
    "meta.v1.ManifestService/ResolveManifests": Batches(
        "meta.v1.ManifestService/ResolveManifest", _manifest, _send_manifests
    ),
    "meta.v1.BlobLinkService/ResolveBlobs": Batches("meta.v1.BlobLinkService/ResolveBlob", _blob, _send_blobs),
    "meta.v1.ManifestService/ResolveManifestBatches": Batches(
        "meta.v1.ManifestService/ResolveManifest", _manifest, _stream_manifests
    ),
    "meta.v1.BlobLinkService/ResolveBlobBatches": Batches("meta.v1.BlobLinkService/ResolveBlob", _blob, _stream_blobs),
}


def token_of(metadata: Mapping[str, str]) -> str:
    return metadata.get("authorization", "").removeprefix("Bearer ")


def heard(answer: Any) -> str:
    match answer.WhichOneof("outcome"):
        case "error":
            return from_status(answer.error).reason
        case "come_alone":
            return ComeAlone.Name(answer.come_alone)
    return "let in"


def test_every_batch_is_walked() -> None:
    assert {name for name, right in RIGHTS.items() if right.kind == "each"} == set(BATCHES)


@pytest.mark.parametrize("name", BATCHES)
def test_a_member_needs_what_the_call_of_its_own_needs(name: str) -> None:
    assert RIGHTS[name].permission == RIGHTS[BATCHES[name].single].permission


@pytest.mark.parametrize("name", BATCHES)
def test_every_role_in_one_batch_is_let_in_or_refused_for_itself(world: World, name: str) -> None:
    """Every caller asks with its registry token and with its identity token, in its own project and in the other."""
    batches = BATCHES[name]
    right = RIGHTS[batches.single]
    asked: dict[tuple[str, str, str, str], Any] = {}
    expected: dict[tuple[str, str, str, str], str] = {}
    for caller in CALLERS:
        for kind in KINDS:
            for place in KINDS:
                repository = f"{world.projects[place]}/app"
                registry = token_of(world.registry[f"{caller}/{kind}"])
                key = (caller, "registry", kind, place)
                asked[key] = batches.member(MemberCall(token=registry), repository)
                is_let_in = kind == place and may(caller, kind, right)
                expected[key] = "let in" if is_let_in else "INSUFFICIENT_SCOPE"
            identity = token_of(world.identity[f"{caller}/{kind}"])
            key = (caller, "identity", kind, kind)
            asked[key] = batches.member(MemberCall(token=identity), f"{world.projects[kind]}/app")
            # authsvc would have to be asked, whatever it would say.
            expected[key] = ALONE
    assert len(asked) <= 64

    answers = batches.send(world, list(asked.values()), world.passing_on("gateway"))

    assert dict(zip(asked, map(heard, answers), strict=True)) == expected
    assert set(expected.values()) == {"let in", "INSUFFICIENT_SCOPE", ALONE}


@pytest.mark.parametrize("name", BATCHES)
def test_bad_tokens_stand_beside_good_ones(world: World, name: str) -> None:
    batches = BATCHES[name]
    project, project_id = world.projects["private"], world.project_ids["private"]
    repository = f"{project}/app"
    keyring = world.keyring
    pull = (repository, "pull", project_id)
    claims = RegistryToken(
        subject="user:1", access=(Access("repository", repository, frozenset({"pull"}), project_id),)
    )
    tokens = {
        "good": (keyring.registry_token(pull), "let in"),
        "expired": (keyring.registry_token(pull, expired_seconds=600), "UNAUTHORIZED"),
        "signed by nobody": (keyring.stranger("authsvc").sign(claims).text, "UNAUTHORIZED"),
        "signed by another service": (
            keyring.signer("authsvc", key_of="metasvc").sign(claims).text,
            "UNAUTHORIZED",
        ),
        "nonsense": ("nonsense", "UNAUTHORIZED"),
        "too long": ("x" * 20_000, "UNAUTHORIZED"),
        "a service token": (keyring.service_token("gateway"), "UNAUTHORIZED"),
        "an acting token": (keyring.acting_token("metasvc", "metasvc"), "UNAUTHORIZED"),
        "a grant's repository": (
            keyring.registry_token((f"{project}/other", "pull", project_id)),
            "INSUFFICIENT_SCOPE",
        ),
        "push only": (keyring.registry_token((repository, "push", project_id)), "INSUFFICIENT_SCOPE"),
        "no token": ("", ALONE),
        "good again": (keyring.registry_token(pull, subject="user:2"), "let in"),
    }
    # Of a project that had this name once: nothing is found there.
    old = keyring.registry_token((repository, "pull", project_id + 1_000_000))

    members = [batches.member(MemberCall(token=token), repository) for token, _ in tokens.values()]
    answers = batches.send(
        world, [*members, batches.member(MemberCall(token=old), repository)], world.passing_on("gateway")
    )

    assert dict(zip(tokens, map(heard, answers[:-1]), strict=True)) == {
        name: told for name, (_, told) in tokens.items()
    }
    assert heard(answers[-1]) in ("MANIFEST_UNKNOWN", "BLOB_UNKNOWN")


@pytest.mark.parametrize("name", BATCHES)
def test_a_callers_token_does_not_send_batches(world: World, name: str) -> None:
    batches = BATCHES[name]
    repository = f"{world.projects['private']}/app"
    for metadata in (world.identity["sysadmin/private"], world.registry["sysadmin/private"], {}):
        call = MemberCall(token=token_of(world.registry["sysadmin/private"]))
        with pytest.raises(grpc.RpcError) as refused:
            batches.send(world, [batches.member(call, repository)], metadata)
        assert reason_of(refused.value) == "UNAUTHORIZED"
