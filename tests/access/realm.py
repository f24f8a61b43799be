"""Two projects to attack, and all keys of the installation, which is more than an attacker would have."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import jwt
import pytest

from roadstead.blob.v1 import upload_service_pb2, upload_service_pb2_grpc
from roadstead.meta.v1 import (
    blob_link_service_pb2,
    blob_link_service_pb2_grpc,
    manifest_service_pb2,
    manifest_service_pb2_grpc,
)
from svckit.keys import KeyPair
from tests.harness import plain_http
from tests.harness.contracts import reason_of
from tests.harness.images import Image, image
from tests.harness.installation import Installation
from tests.harness.keyring import Keyring
from tests.harness.push import push
from tests.harness.workspace import DEVELOPER, Login, Management


@dataclass(frozen=True)
class Realm:
    """Two private projects of two people, the channels, and the keys."""

    installation: Installation
    management: Management
    keyring: Keyring
    channel: Mapping[str, grpc.Channel]
    project: str
    project_id: int
    other_project: str
    other_project_id: int
    owner: Login
    other: Login
    pushed: Image

    @property
    def repository(self) -> str:
        return f"{self.project}/app"

    @property
    def other_repository(self) -> str:
        return f"{self.other_project}/app"

    def registry_token(self, login: Login, *scopes: str) -> str:
        """A real one."""
        answer = plain_http.get(
            f"{self.installation.http_url}/service/token",
            params={"service": "harbor-registry", "scope": scopes},
            auth=login.basic,
        )
        token: str = answer.raise_for_status().json()["token"]
        return token

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a registry token that pulls from and pushes to the owner's repository, but for what is changed."""
        now = int(time.time())
        access = [
            {
                "type": "repository",
                "name": self.repository,
                "actions": ["pull", "push", "delete"],
                "project_id": self.project_id,
            }
        ]
        envelope = {
            "iss": "authsvc",
            "aud": "harbor-registry",
            "sub": "user:1",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": f"forged-{time.monotonic_ns()}",
        }
        return {**envelope, "access": access, **changes}

    def sign(self, claims: Mapping[str, Any], *, key: KeyPair | None = None, **header: Any) -> str:
        """Signs claims as authsvc would, but for what is changed."""
        used = key or self.keyring.keypairs["authsvc"]
        headers = {"typ": "registry+jwt", "kid": used.kid, **header}
        return jwt.encode(dict(claims), used.private_key, algorithm="ES256", headers=headers)

    def grant(self) -> str:
        """metasvc's, for the owner to read the first layer of the owner's image."""
        links = blob_link_service_pb2_grpc.BlobLinkServiceStub(self.channel["metasvc"])
        token = self.registry_token(self.owner, f"repository:{self.repository}:pull")
        request = blob_link_service_pb2.ResolveBlobRequest(
            repository=self.repository, digest=self.pushed.layers[0]["digest"]
        )
        return links.ResolveBlob(request, metadata=bearer(token)).grant

    def resolve(self, token: str, repository: str | None = None) -> str:
        """The answer of metasvc to a pull with this token."""
        stub = manifest_service_pb2_grpc.ManifestServiceStub(self.channel["metasvc"])
        request = manifest_service_pb2.ResolveManifestRequest(repository=repository or self.repository, reference="v1")
        return outcome(stub.ResolveManifest, request, token)

    def start_upload(self, token: str, repository: str | None = None) -> str:
        """The answer of blobsvc to the start of a push with this token."""
        stub = upload_service_pb2_grpc.UploadServiceStub(self.channel["blobsvc"])
        request = upload_service_pb2.StartUploadRequest(repository=repository or self.repository)
        return outcome(stub.StartUpload, request, token)

    def pull_over_http(self, token: str, repository: str | None = None) -> httpx.Response:
        """The answer of the gateway to a pull with this token."""
        return plain_http.get(
            f"{self.installation.http_url}/v2/{repository or self.repository}/manifests/v1",
            headers={"Authorization": f"Bearer {token}"},
        )


@pytest.fixture(scope="session")
def realm(installation: Installation, management: Management) -> Iterator[Realm]:
    """The two projects, each with the image of its own."""
    project, other_project = management.create_project(), management.create_project()
    owner, other = management.create_user(), management.create_user()
    management.add_member(project, owner, DEVELOPER)
    management.add_member(other_project, other, DEVELOPER)
    channels = {
        service: grpc.insecure_channel(f"127.0.0.1:{port}") for service, port in installation.grpc_ports.items()
    }
    realm = Realm(
        installation,
        management,
        Keyring.of(installation.data_dir),
        channels,
        project,
        management.project_id(project),
        other_project,
        management.project_id(other_project),
        owner,
        other,
        image(77),
    )
    push(realm.installation.http_url, owner, realm.repository, realm.pushed, "v1")
    push(realm.installation.http_url, other, realm.other_repository, image(78), "v1")
    yield realm
    for channel in channels.values():
        channel.close()


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)


def outcome(call: Callable[..., Any], request: object, token: str | None) -> str:
    """ "OK", or the gRPC code and the reason of the error."""
    try:
        call(request, metadata=bearer(token), timeout=20)
    except grpc.RpcError as error:
        return f"{error.code().name} {reason_of(error)}"
    return "OK"
