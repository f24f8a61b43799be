"""Forged, foreign and replayed acting tokens, and client addresses stated by callers who may not state one.

The attacker has the installation's own keys, so that each forgery is wrong in exactly one thing. The targets are
LookUpProject, which only metasvc may call and which shows any project, and the bytes that metasvc may read.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import jwt
import pytest

from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import project_service_pb2, token_service_pb2, token_service_pb2_grpc
from roadstead.auth.v1.project_service_pb2_grpc import ProjectServiceStub
from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.blob.v1 import blob_service_pb2, blob_service_pb2_grpc
from svckit.keys import KeyPair
from svckit.services import NAMES
from svckit.tokens import ServiceToken
from tests.access.markers import acting_token
from tests.access.realm import Realm, bearer
from tests.harness.contracts import reason_of
from tests.harness.waiting import wait_until

ACTING = "x-roadstead-acting"
SERVICE = "x-roadstead-service"
CLIENT_ADDRESS = "x-roadstead-client-address"

Metadata = tuple[tuple[str, str], ...]
Forge = Callable[[Realm], str]


def claims(**changes: Any) -> dict[str, Any]:
    """Of a token by which metasvc acts at authsvc, but for what is changed."""
    now = int(time.time())
    envelope = {"iss": "metasvc", "sub": "service:metasvc", "aud": "authsvc", "iat": now, "nbf": now, "exp": now + 300}
    cause = {"kind": "user", "id": 7, "name": "alice", "on_behalf_of": None}
    return {**envelope, "jti": f"forged-{secrets.token_hex(8)}", "on_behalf_of": cause, **changes}


def signed(realm: Realm, document: Mapping[str, Any], key: KeyPair | None = None, **header: str) -> str:
    return realm.sign(document, key=key or realm.keyring.keypairs["metasvc"], **{"typ": "acting+jwt", **header})


def look_up(realm: Realm, metadata: Metadata) -> str:
    """The answer of authsvc to a look-up of a private project."""
    request = project_service_pb2.LookUpProjectRequest(project=ProjectRef(name=realm.project))
    return heard(
        lambda: ProjectServiceStub(realm.channel["authsvc"]).LookUpProject(request, metadata=metadata, timeout=20)
    )


def heard(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return reason_of(error)
    return "OK"


def with_another_cause(realm: Realm) -> str:
    head, body, signature = signed(realm, claims()).split(".")
    document = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    document["on_behalf_of"]["id"] = 1
    changed = base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


FORGERIES: Mapping[str, Forge] = {
    "a key of nobody's": lambda realm: signed(realm, claims(), KeyPair.generate()),
    "a key of nobody's under a known name": lambda realm: signed(
        realm, claims(), KeyPair.generate(), kid=realm.keyring.keypairs["metasvc"].kid
    ),
    "another service's key": lambda realm: signed(realm, claims(), realm.keyring.keypairs["blobsvc"]),
    "another service's key under metasvc's name": lambda realm: signed(
        realm, claims(), realm.keyring.keypairs["blobsvc"], kid=realm.keyring.keypairs["metasvc"].kid
    ),
    "another service's name": lambda realm: signed(
        realm, claims(iss="blobsvc", sub="service:metasvc"), realm.keyring.keypairs["blobsvc"]
    ),
    "the gateway's key": lambda realm: acting_token(realm.keyring, "gateway", "authsvc"),
    "the gateway's key for metasvc": lambda realm: signed(realm, claims(), realm.keyring.keypairs["gateway"]),
    "for metasvc itself": lambda realm: acting_token(realm.keyring, "metasvc", "metasvc"),
    "for blobsvc": lambda realm: acting_token(realm.keyring, "metasvc", "blobsvc"),
    "for everybody": lambda realm: signed(realm, claims(aud="roadstead")),
    "for two": lambda realm: signed(realm, claims(aud=["authsvc", "blobsvc"])),
    "a service token": lambda realm: realm.keyring.service_token("metasvc"),
    "a service token's type": lambda realm: signed(realm, claims(), typ="service+jwt"),
    "another cause": with_another_cause,
    "a cause that is none": lambda realm: signed(realm, claims(on_behalf_of="user:1")),
    "a person": lambda realm: signed(realm, claims(sub="user:1")),
    "expired": lambda realm: signed(realm, claims(exp=int(time.time()) - 60)),
    "not valid yet": lambda realm: signed(realm, claims(nbf=int(time.time()) + 600)),
    "nonsense": lambda _: "nonsense",
}


def test_the_forger_can_sign(realm: Realm) -> None:
    """The unchanged token is accepted. Without this, all forgeries might fail for another, common reason."""
    assert look_up(realm, ((ACTING, signed(realm, claims())),)) == "OK"
    assert look_up(realm, ((ACTING, acting_token(realm.keyring, "metasvc", "authsvc")),)) == "OK"


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_marker_opens_nothing(realm: Realm, name: str) -> None:
    assert look_up(realm, ((ACTING, FORGERIES[name](realm)),)) == "UNAUTHORIZED"


def test_a_service_that_the_rule_does_not_name_is_told_so(realm: Realm) -> None:
    assert look_up(realm, ((ACTING, acting_token(realm.keyring, "blobsvc", "authsvc")),)) == "FORBIDDEN"


@pytest.mark.parametrize("beside", ["a user's token", "a token that is none", "its own service token", "another's"])
@pytest.mark.parametrize("name", ["good", "another service's key", "nonsense"])
def test_a_marker_beside_another_token_is_refused_before_either_is_looked_at(
    realm: Realm, beside: str, name: str
) -> None:
    marker = signed(realm, claims()) if name == "good" else FORGERIES[name](realm)
    others: dict[str, Metadata] = {
        "a user's token": bearer(realm.registry_token(realm.owner, f"repository:{realm.repository}:pull")),
        "a token that is none": bearer("nonsense"),
        "its own service token": ((SERVICE, realm.keyring.service_token("metasvc")),),
        "another's": ((SERVICE, realm.keyring.service_token("gateway")),),
    }
    assert look_up(realm, ((ACTING, marker), *others[beside])) == "BAD_REQUEST"


def test_a_marker_is_neither_a_callers_token_nor_a_service_token(realm: Realm) -> None:
    marker = signed(realm, claims())
    assert look_up(realm, bearer(marker)) == "UNAUTHORIZED"
    assert look_up(realm, ((SERVICE, marker),)) == "UNAUTHORIZED"


class TestGrants:
    """metasvc reads configs from blobsvc by grants that it gives to itself."""

    @staticmethod
    def read(realm: Realm, metadata: Metadata) -> str:
        grant = realm.sign(
            {
                **claims(aud="blobsvc", sub="service:metasvc"),
                "repository": realm.repository,
                "project_id": realm.project_id,
                "digest": realm.pushed.layers[0]["digest"],
                "generation": jwt.decode(realm.grant(), options={"verify_signature": False})["generation"],
                "size": realm.pushed.layers[0]["size"],
            },
            key=realm.keyring.keypairs["metasvc"],
            typ="grant+jwt",
        )
        blobs = blob_service_pb2_grpc.BlobServiceStub(realm.channel["blobsvc"])
        request = blob_service_pb2.StatBlobRequest(grant=grant)
        return heard(lambda: blobs.StatBlob(request, metadata=metadata, timeout=20))

    def test_a_grant_for_a_service_is_read_by_that_service_where_it_acts_for_itself(self, realm: Realm) -> None:
        assert self.read(realm, ((ACTING, acting_token(realm.keyring, "metasvc", "blobsvc")),)) == "OK"

    def test_a_service_token_that_was_overheard_does_not_read_it(self, realm: Realm) -> None:
        token = (SERVICE, realm.keyring.service_token("metasvc"))
        owner = bearer(realm.registry_token(realm.owner, f"repository:{realm.repository}:pull"))

        assert self.read(realm, (token,)) == "GRANT_INVALID"
        assert self.read(realm, (token, *owner)) == "GRANT_INVALID"

    def test_a_marker_for_another_service_or_of_another_does_not_read_it(self, realm: Realm) -> None:
        for service in sorted(NAMES - {"metasvc"}):
            marker = acting_token(realm.keyring, service, "blobsvc")
            assert self.read(realm, ((ACTING, marker),)) == "GRANT_INVALID", service
        assert self.read(realm, ((ACTING, acting_token(realm.keyring, "metasvc", "authsvc")),)) == "GRANT_INVALID"


class TestClientAddress:
    """Wrong passwords are counted by the client's address, so only some services may state one."""

    STATED = "203.0.113.9"

    def seen(self, realm: Realm, *more: tuple[str, str]) -> str:
        """The address under which authsvc logs a wrong password."""
        name = f"nobody-{secrets.token_hex(6)}"
        credentials = Credentials(password=Credentials.Password(username=name, secret="wrong"))
        request = token_service_pb2.CreateIdentityTokenRequest(credentials=credentials)
        tokens = token_service_pb2_grpc.TokenServiceStub(realm.channel["authsvc"])
        said = heard(
            lambda: tokens.CreateIdentityToken(request, metadata=((CLIENT_ADDRESS, self.STATED), *more), timeout=20)
        )
        assert said == "UNAUTHORIZED"

        def logged() -> list[str]:
            return [line for line in realm.installation.log().splitlines() if name in line and "login_failed" in line]

        # It was logged before the answer; the supervisor writes it a moment later.
        return str(json.loads(wait_until(logged, "the line that tells of the failure")[0])["address"])

    def test_a_service_that_passes_on_calls_is_believed(self, realm: Realm) -> None:
        assert self.seen(realm, (SERVICE, realm.keyring.service_token("gateway"))) == self.STATED

    def test_a_stranger_has_the_address_of_its_connection(self, realm: Realm) -> None:
        assert self.seen(realm) == "127.0.0.1"
        forged = realm.keyring.stranger("gateway").sign(ServiceToken(subject="service:gateway")).text
        assert self.seen(realm, (SERVICE, forged)) == "127.0.0.1"

    @pytest.mark.parametrize("service", ["worker", "blobsvc", "authsvc"])
    def test_a_service_that_passes_on_nothing_is_not_believed(self, realm: Realm, service: str) -> None:
        assert self.seen(realm, (SERVICE, realm.keyring.service_token(service))) == ""
