"""Forged, foreign, replayed and expired tokens and documents, over gRPC and over HTTP.

The attacker here has the installation's own keys, more than a real one would have. So each forgery is wrong in exactly
one thing.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from roadstead.auth.v1 import user_service_pb2, user_service_pb2_grpc
from roadstead.blob.v1 import blob_service_pb2, blob_service_pb2_grpc, upload_service_pb2, upload_service_pb2_grpc
from roadstead.meta.v1 import (
    blob_link_service_pb2,
    blob_link_service_pb2_grpc,
)
from svckit.keys import KeyPair
from tests.access.realm import Realm, bearer, outcome
from tests.harness import plain_http
from tests.harness.contracts import reason_of
from tests.harness.images import digest_of, image
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.workspace import DEVELOPER

Forge = Callable[[Realm], str]


def _none(realm: Realm) -> str:
    def part(document: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    header = {"alg": "none", "typ": "registry+jwt", "kid": realm.keyring.keypairs["authsvc"].kid}
    return f"{part(header)}.{part(realm.claims())}."


def _hmac(realm: Realm) -> str:
    key = realm.keyring.keypairs["authsvc"]
    public = key.private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # Written by hand, because the library refuses to use a public key as a secret.
    signed = ".".join(_none(realm).split(".")[:2]).encode()
    header = json.dumps({"alg": "HS256", "typ": "registry+jwt", "kid": key.kid}).encode()
    signed = base64.urlsafe_b64encode(header).rstrip(b"=") + b"." + signed.split(b".")[1]
    mac = hmac.new(public, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


FORGERIES: Mapping[str, Forge] = {
    "wrong audience": lambda realm: realm.sign(realm.claims(aud="another-registry")),
    "wrong type": lambda realm: realm.sign(realm.claims(), typ="JWT"),
    "a grant's type": lambda realm: realm.sign(realm.claims(), typ="grant+jwt"),
    "a key of nobody's": lambda realm: realm.sign(realm.claims(), key=KeyPair.generate()),
    "a key of nobody's under a known name": lambda realm: realm.sign(
        realm.claims(), key=KeyPair.generate(), kid=realm.keyring.keypairs["authsvc"].kid
    ),
    "another service's key": lambda realm: realm.sign(realm.claims(), key=realm.keyring.keypairs["blobsvc"]),
    "another service's key, and its name": lambda realm: realm.sign(
        realm.claims(iss="metasvc"), key=realm.keyring.keypairs["metasvc"]
    ),
    "wrong issuer": lambda realm: realm.sign(realm.claims(iss="gateway")),
    "no algorithm": _none,
    "the public key as a secret": _hmac,
    "expired": lambda realm: realm.sign(realm.claims(exp=int(time.time()) - 120)),
    "not valid yet": lambda realm: realm.sign(realm.claims(nbf=int(time.time()) + 600)),
    "no subject": lambda realm: realm.sign({k: v for k, v in realm.claims().items() if k != "sub"}),
    "no expiry": lambda realm: realm.sign({k: v for k, v in realm.claims().items() if k != "exp"}),
    "cut short": lambda realm: realm.sign(realm.claims())[:-8],
    "a letter changed": lambda realm: _flip(realm.sign(realm.claims())),
    "a service token": lambda realm: _service_token(realm),  # noqa: PLW0108 - it is defined below
    "nonsense": lambda _: "nonsense",
    "another repository": lambda realm: realm.registry_token(realm.other, f"repository:{realm.other_repository}:pull"),
    "another project's id": lambda realm: realm.sign(
        realm.claims(
            access=[
                {
                    "type": "repository",
                    "name": realm.repository,
                    "actions": ["pull", "push"],
                    "project_id": realm.other_project_id,
                }
            ]
        )
    ),
}


def test_the_forger_can_sign(realm: Realm) -> None:
    """The unchanged token is accepted. Without this, all forgeries might fail for another, common reason."""
    token = realm.sign(realm.claims())

    assert realm.resolve(token) == "OK"
    assert realm.start_upload(token) == "OK"
    assert realm.pull_over_http(token).status_code == 200


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_pulls_nothing_over_grpc(realm: Realm, name: str) -> None:
    assert realm.resolve(FORGERIES[name](realm)).split()[0] in ("UNAUTHENTICATED", "NOT_FOUND")


@pytest.mark.parametrize("name", [name for name in FORGERIES if name != "another project's id"])
def test_a_forged_token_begins_no_push_over_grpc(realm: Realm, name: str) -> None:
    assert realm.start_upload(FORGERIES[name](realm)).split()[0] in ("UNAUTHENTICATED", "NOT_FOUND")


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_pulls_nothing_over_http(realm: Realm, name: str) -> None:
    answer = realm.pull_over_http(FORGERIES[name](realm))

    assert answer.status_code in (401, 404)
    assert realm.pushed.digest not in answer.text
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


@pytest.mark.parametrize(
    "name", ["wrong type", "a key of nobody's", "another service's key", "no algorithm", "expired", "nonsense"]
)
def test_a_forged_identity_is_nobody(realm: Realm, name: str) -> None:
    now = int(time.time())
    identity = {"kind": "user", "uid": 1, "name": "admin", "admin": True, "sub": "user:1", "aud": "roadstead"}
    claims = {"iss": "authsvc", "iat": now, "nbf": now, "exp": now + 300, "jti": "forged", **identity}
    forgeries: dict[str, Callable[[], str]] = {
        "wrong type": lambda: realm.sign(claims, typ="service+jwt"),
        "a key of nobody's": lambda: realm.sign(claims, typ="identity+jwt", key=KeyPair.generate()),
        "another service's key": lambda: realm.sign(claims, typ="identity+jwt", key=realm.keyring.keypairs["metasvc"]),
        "no algorithm": lambda: _none(realm),
        "expired": lambda: realm.sign({**claims, "exp": now - 60}, typ="identity+jwt"),
        "nonsense": lambda: "nonsense",
    }
    token = forgeries[name]()
    stub = user_service_pb2_grpc.UserServiceStub(realm.channel["authsvc"])

    over_grpc = outcome(stub.GetCurrentUser, user_service_pb2.GetCurrentUserRequest(), token)
    over_http = plain_http.get(
        f"{realm.installation.http_url}/api/v2.0/users/current",
        headers={"Authorization": f"Bearer {token}"},
    )

    assert over_grpc.startswith("UNAUTHENTICATED")
    assert over_http.status_code == 401


def test_a_project_that_was_made_again_does_not_know_the_old_ones_tokens(realm: Realm) -> None:
    management = realm.management
    project = management.create_project()
    management.add_member(project, realm.owner, DEVELOPER)
    repository = f"{project}/app"
    token = realm.registry_token(realm.owner, f"repository:{repository}:pull,push")
    push(realm.installation.http_url, realm.owner, repository, image(79), "v1")
    assert realm.resolve(token, repository) == "OK"

    assert management.client.delete(f"/projects/{project}/repositories/app").status_code == 200
    assert management.client.delete(f"/projects/{project}").status_code == 200
    body = {"project_name": project, "metadata": {"public": "false"}}
    assert management.client.post("/projects", json=body).status_code == 201
    push(realm.installation.http_url, management.admin, repository, image(80), "v1")

    assert realm.resolve(token, repository).split()[0] in ("UNAUTHENTICATED", "NOT_FOUND")
    assert realm.pull_over_http(token, repository).status_code in (401, 404)


class TestDocuments:
    """Tickets, receipts and grants: the right of one caller, one upload, one blob, one repository."""

    def test_a_digest_of_another_project_gives_no_grant_and_no_link(self, realm: Realm) -> None:
        digest = realm.pushed.layers[0]["digest"]
        token = realm.registry_token(realm.other, f"repository:{realm.other_repository}:pull,push")
        links = blob_link_service_pb2_grpc.BlobLinkServiceStub(realm.channel["metasvc"])
        resolve = blob_link_service_pb2.ResolveBlobRequest
        mount = blob_link_service_pb2.MountBlobRequest

        assert outcome(links.ResolveBlob, resolve(repository=realm.repository, digest=digest), token).split()[0] in (
            "UNAUTHENTICATED",
            "NOT_FOUND",
        )
        own = outcome(links.ResolveBlob, resolve(repository=realm.other_repository, digest=digest), token)
        assert own == "NOT_FOUND BLOB_UNKNOWN"
        # A token without the source in its scopes gets a challenge for it. The new token grants no more than the first.
        asked = realm.registry_token(
            realm.other, f"repository:{realm.other_repository}:pull,push", f"repository:{realm.repository}:pull"
        )
        request = mount(repository=realm.other_repository, digest=digest, from_repository=realm.repository)
        assert outcome(links.MountBlob, request, token) == "UNAUTHENTICATED INSUFFICIENT_SCOPE"
        for source in (realm.repository, ""):
            request = mount(repository=realm.other_repository, digest=digest, from_repository=source)
            assert not links.MountBlob(request, metadata=bearer(asked)).mounted

    def test_over_http_neither(self, realm: Realm) -> None:
        digest = realm.pushed.layers[0]["digest"]
        with httpx.Client(
            base_url=realm.installation.http_url, auth=realm.other.basic, trust_env=False, verify=NO_TLS
        ) as client:
            assert client.get(f"/v2/{realm.repository}/blobs/{digest}").status_code in (401, 404)
            assert client.get(f"/v2/{realm.other_repository}/blobs/{digest}").status_code == 404
            mounted = client.post(
                f"/v2/{realm.other_repository}/blobs/uploads/", params={"mount": digest, "from": realm.repository}
            )
            # Not 201: a session, in which the bytes themselves must come; or the challenge for the source.
            assert mounted.status_code in (202, 401)
            assert client.head(f"/v2/{realm.other_repository}/blobs/{digest}").status_code == 404

    def test_a_grant_is_no_use_to_anybody_else(self, realm: Realm) -> None:
        grant = realm.grant()
        read = blob_service_pb2_grpc.BlobServiceStub(realm.channel["blobsvc"])
        request = blob_service_pb2.StatBlobRequest(grant=grant)
        own = realm.registry_token(realm.owner, f"repository:{realm.repository}:pull")
        foreign = realm.registry_token(realm.other, f"repository:{realm.other_repository}:pull")

        assert outcome(read.StatBlob, request, own) == "OK"
        assert outcome(read.StatBlob, request, foreign) == "UNAUTHENTICATED GRANT_INVALID"
        assert outcome(read.StatBlob, request, None) == "UNAUTHENTICATED GRANT_INVALID"
        with pytest.raises(grpc.RpcError) as refused:
            list(read.ReadBlob(blob_service_pb2.ReadBlobRequest(grant=grant), metadata=bearer(foreign)))
        assert reason_of(refused.value) == "GRANT_INVALID"

    @pytest.mark.parametrize("signer", ["authsvc", "blobsvc", "gateway"])
    def test_a_grant_counts_only_when_metasvc_signed_it(self, realm: Realm, signer: str) -> None:
        claims = jwt.decode(realm.grant(), options={"verify_signature": False})
        forged = realm.sign({**claims, "iss": signer}, key=realm.keyring.keypairs[signer], typ="grant+jwt")
        read = blob_service_pb2_grpc.BlobServiceStub(realm.channel["blobsvc"])
        own = realm.registry_token(realm.owner, f"repository:{realm.repository}:pull")

        heard = outcome(read.StatBlob, blob_service_pb2.StatBlobRequest(grant=forged), own)

        assert heard == "UNAUTHENTICATED GRANT_INVALID"

    def test_a_receipt_links_to_its_own_repository_only(self, realm: Realm) -> None:
        content = b"a layer of the other's"
        token = realm.registry_token(realm.other, f"repository:{realm.other_repository}:pull,push")
        receipt = _upload(realm, token, realm.other_repository, content)
        links = blob_link_service_pb2_grpc.BlobLinkServiceStub(realm.channel["metasvc"])
        link = blob_link_service_pb2.LinkBlobRequest
        owner = realm.registry_token(realm.owner, f"repository:{realm.repository}:pull,push")

        foreign = outcome(links.LinkBlob, link(receipt=receipt, repository=realm.repository), owner)
        elsewhere = outcome(links.LinkBlob, link(receipt=receipt, repository=realm.repository), token)
        own = outcome(links.LinkBlob, link(receipt=receipt, repository=realm.other_repository), token)
        again = outcome(links.LinkBlob, link(receipt=receipt, repository=realm.other_repository), token)

        assert foreign == "UNAUTHENTICATED INSUFFICIENT_SCOPE"
        assert elsewhere.startswith("NOT_FOUND")
        assert own == again == "OK"

    @pytest.mark.parametrize("change", [{"repository": "REPOSITORY"}, {"digest": "DIGEST"}, {"project_id": 1}])
    @pytest.mark.parametrize("signer", ["metasvc", "gateway", "nobody"])
    def test_a_receipt_counts_only_when_blobsvc_signed_it(
        self, realm: Realm, signer: str, change: dict[str, Any]
    ) -> None:
        token = realm.registry_token(realm.other, f"repository:{realm.other_repository}:pull,push")
        receipt = _upload(realm, token, realm.other_repository, b"to be forged")
        stands = {"REPOSITORY": realm.repository, "DIGEST": realm.pushed.layers[0]["digest"]}
        changed = {name: stands.get(str(value), value) for name, value in change.items()}
        claims = {**jwt.decode(receipt, options={"verify_signature": False}), **changed}
        key = KeyPair.generate() if signer == "nobody" else realm.keyring.keypairs[signer]
        forged = realm.sign(claims, key=key, typ="receipt+jwt", kid=realm.keyring.keypairs["blobsvc"].kid)
        links = blob_link_service_pb2_grpc.BlobLinkServiceStub(realm.channel["metasvc"])

        heard = outcome(links.LinkBlob, blob_link_service_pb2.LinkBlobRequest(receipt=forged), token)

        assert heard == "UNAUTHENTICATED RECEIPT_INVALID"

    def test_a_ticket_writes_to_its_own_upload_only(self, realm: Realm) -> None:
        uploads = upload_service_pb2_grpc.UploadServiceStub(realm.channel["blobsvc"])
        token = realm.registry_token(realm.other, f"repository:{realm.other_repository}:push")
        started = uploads.StartUpload(
            upload_service_pb2.StartUploadRequest(repository=realm.other_repository), metadata=bearer(token)
        )
        status = upload_service_pb2.GetUploadStatusRequest
        claims = jwt.decode(started.upload.ticket, options={"verify_signature": False})
        forged = realm.sign(claims, key=realm.keyring.keypairs["gateway"], typ="ticket+jwt")

        own = outcome(uploads.GetUploadStatus, status(ticket=started.upload.ticket), token)
        elsewhere = outcome(
            uploads.GetUploadStatus, status(ticket=started.upload.ticket, repository=realm.repository), token
        )
        by_forger = outcome(uploads.GetUploadStatus, status(ticket=forged), token)

        assert own == "OK"
        assert elsewhere == "NOT_FOUND BLOB_UPLOAD_UNKNOWN"
        assert by_forger == "UNAUTHENTICATED TICKET_INVALID"

    def test_an_upload_url_does_not_work_for_another_repository(self, realm: Realm) -> None:
        with httpx.Client(
            base_url=realm.installation.http_url, auth=realm.other.basic, trust_env=False, verify=NO_TLS
        ) as client:
            started = client.post(f"/v2/{realm.other_repository}/blobs/uploads/")
            moved = started.headers["Location"].replace(realm.other_repository, realm.repository)

            assert client.patch(moved, content=b"bytes").status_code == 404
            assert client.patch(started.headers["Location"], content=b"bytes").status_code == 202


def _upload(realm: Realm, token: str, repository: str, content: bytes) -> str:
    uploads = upload_service_pb2_grpc.UploadServiceStub(realm.channel["blobsvc"])
    started = uploads.StartUpload(upload_service_pb2.StartUploadRequest(repository=repository), metadata=bearer(token))
    header = upload_service_pb2.WriteUploadRequest.Header(ticket=started.upload.ticket)
    parts = [
        upload_service_pb2.WriteUploadRequest(header=header),
        upload_service_pb2.WriteUploadRequest(data=content),
    ]
    uploads.WriteUpload(iter(parts), metadata=bearer(token))
    finish = upload_service_pb2.FinishUploadRequest(ticket=started.upload.ticket, digest=digest_of(content))
    return uploads.FinishUpload(finish, metadata=bearer(token)).receipt


def _service_token(realm: Realm) -> str:
    now = int(time.time())
    claims = {"iss": "gateway", "sub": "service:gateway", "aud": "roadstead", "iat": now, "nbf": now, "exp": now + 60}
    return realm.sign({**claims, "jti": "service"}, key=realm.keyring.keypairs["gateway"], typ="service+jwt")


def _flip(token: str) -> str:
    position = len(token) // 2
    return token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
