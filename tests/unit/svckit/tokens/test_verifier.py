"""What a token must be to count, one wrong thing at a time."""

from collections.abc import Mapping
from typing import Any

import pytest

from svckit.actor import Actor
from svckit.keys import KeyPair
from svckit.tokens import (
    Access,
    ActingToken,
    Claims,
    Finding,
    Grant,
    IdentityToken,
    Receipt,
    RegistryToken,
    ServiceToken,
    UploadTicket,
)
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import MAXIMUM_TOKEN_BYTES, TokenError, TokenVerifier
from svckit.trust import TrustBundle
from tests.unit.svckit.tokens.forge import (
    NOW,
    Clock,
    encode,
    es256,
    header,
    hs256_with_public_key,
    payload,
    segment,
    signed,
)
from tests.unit.svckit.tokens.refused import refusal

Keys = Mapping[str, KeyPair]

BLOB = {"repository": "p/r", "project_id": 3, "digest": "sha256:" + "a" * 64, "generation": 1, "size": 10}
SAMPLES: list[tuple[str, Claims]] = [
    ("authsvc", RegistryToken(subject="user:7", access=(Access("repository", "p/r", frozenset({"pull", "push"}), 3),))),
    ("authsvc", RegistryToken(subject="anonymous", access=(Access("registry", "catalog", frozenset({"*"})),))),
    ("authsvc", RegistryToken(subject="robot:12")),
    ("authsvc", RegistryToken(subject="robot:12", name="robot$p+ci")),
    ("authsvc", IdentityToken(subject="user:7", kind="user", id=7, name="ünal", is_admin=True)),
    ("authsvc", IdentityToken(subject="robot:12", kind="robot", id=12, name="robot$p+ci")),
    ("gateway", ServiceToken(subject="service:gateway")),
    ("metasvc", ServiceToken(subject="service:metasvc")),
    ("blobsvc", UploadTicket(subject="user:7", upload_id="u-1", repository="p/r", project_id=3)),
    (
        "blobsvc",
        Receipt(
            subject="user:7", repository="p/r", project_id=3, digest="sha256:a", generation=1, size=0, upload_time=9
        ),
    ),
    ("blobsvc", Finding(subject="service:blobsvc", digest="sha256:a", generation=1, damage="size", store_id="s")),
    ("metasvc", Grant(subject="anonymous", repository="p/r", project_id=3, digest="sha256:a", generation=1, size=9)),
]


@pytest.mark.parametrize(("service", "claims"), SAMPLES)
def test_what_is_signed_is_what_is_read(
    verifier: TokenVerifier, keys: Keys, clock: Clock, service: str, claims: Claims
) -> None:
    token = TokenSigner(service, keys[service], clock).sign(claims, lifetime_seconds=100)
    read = verifier.verify(token.text, type(claims))
    assert read == token.claims
    assert (read.issuer, read.issued_time, read.expire_time) == (service, NOW, NOW + 100)


def test_a_token_made_by_hand_as_the_standard_says_is_good(verifier: TokenVerifier, keys: Keys) -> None:
    read = verifier.verify(signed(keys["authsvc"], header(keys["authsvc"]), payload()), RegistryToken)
    assert read.subject == "user:7"
    assert read.access == (Access("repository", "p/r", frozenset({"pull"}), 3),)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_no_algorithm_is_no_signature(verifier: TokenVerifier, keys: Keys, algorithm: str) -> None:
    head = segment(header(keys["authsvc"], alg=algorithm))
    for signature in ("", es256(keys["authsvc"], "x")):
        assert "algorithm" in refusal(verifier, f"{head}.{segment(payload())}.{signature}")


def test_a_public_key_is_no_secret(verifier: TokenVerifier, keys: Keys) -> None:
    for algorithm in ("HS256", "HS384", "ES256"):
        for token in hs256_with_public_key(keys["authsvc"], header(keys["authsvc"], alg=algorithm), payload()):
            refusal(verifier, token)


@pytest.mark.parametrize("algorithm", ["RS256", "ES384", "ES512", "PS256", "EdDSA", "es256", "", None, 5, ["ES256"]])
def test_every_other_algorithm_is_refused(verifier: TokenVerifier, keys: Keys, algorithm: Any) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"], alg=algorithm), payload()))


def test_a_foreign_key_is_refused(verifier: TokenVerifier, keys: Keys) -> None:
    foreign = KeyPair.generate()
    assert "unknown key" in refusal(verifier, signed(foreign, header(foreign), payload()))
    # …and so is its signature under a name that is trusted
    assert "signature" in refusal(verifier, signed(foreign, header(keys["authsvc"]), payload()))


def test_a_key_that_the_token_brings_along_does_not_count(verifier: TokenVerifier, keys: Keys) -> None:
    foreign = KeyPair.generate()
    for extra in ({"jwk": foreign.to_jwk()}, {"jku": "https://example.org/jwks"}, {"x5u": "https://example.org/x"}):
        assert "signature" in refusal(verifier, signed(foreign, header(keys["authsvc"], **extra), payload()))


@pytest.mark.parametrize("kid", [None, "", 5, ["a"], {}, "../authsvc", "ü", "a" * 10_000])
def test_a_kid_that_is_none_is_refused(verifier: TokenVerifier, keys: Keys, kid: Any) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"], kid=kid), payload()))


@pytest.mark.parametrize("service", ["gateway", "metasvc", "blobsvc"])
def test_a_service_may_not_sign_what_is_not_its_kind(verifier: TokenVerifier, keys: Keys, service: str) -> None:
    for issuer in ("authsvc", service):
        token = signed(keys[service], header(keys[service]), payload(iss=issuer))
        assert "may not sign" in refusal(verifier, token)


@pytest.mark.parametrize(
    ("kind", "only"),
    [
        (IdentityToken, "authsvc"),
        (UploadTicket, "blobsvc"),
        (Receipt, "blobsvc"),
        (Finding, "blobsvc"),
        (Grant, "metasvc"),
    ],
)
def test_each_kind_has_one_signer(verifier: TokenVerifier, keys: Keys, kind: type[Claims], only: str) -> None:
    for service in set(keys) - {only}:
        token = signed(keys[service], header(keys[service], typ=kind.typ), payload(iss=only))
        assert "may not sign" in refusal(verifier, token, kind)


def test_a_service_cannot_pass_for_another(verifier: TokenVerifier, keys: Keys) -> None:
    meta = header(keys["metasvc"], typ="service+jwt")
    lie = payload(aud="roadstead", iss="gateway", sub="service:gateway")
    assert "another service" in refusal(verifier, signed(keys["metasvc"], meta, lie), ServiceToken)
    half = payload(aud="roadstead", iss="metasvc", sub="service:gateway")
    assert "sub" in refusal(verifier, signed(keys["metasvc"], meta, half), ServiceToken)


@pytest.mark.parametrize("typ", ["JWT", "identity+jwt", "service+jwt", "application/registry+jwt", "", None, 1])
def test_another_kind_is_refused(verifier: TokenVerifier, keys: Keys, typ: Any) -> None:
    assert "kind" in refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"], typ=typ), payload()))


def test_no_kind_passes_for_another(verifier: TokenVerifier, keys: Keys, clock: Clock) -> None:
    kinds = {type(claims) for _, claims in SAMPLES}
    for service, claims in SAMPLES:
        token = TokenSigner(service, keys[service], clock).sign(claims, lifetime_seconds=100).text
        verifier.verify(token, type(claims))
        for kind in kinds - {type(claims)}:
            refusal(verifier, token, kind)


@pytest.mark.parametrize("audience", ["roadstead", "other", ["harbor-registry"], "", 5])
def test_another_audience_is_refused(verifier: TokenVerifier, keys: Keys, audience: Any) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(aud=audience)))


def test_the_audience_of_registry_tokens_is_a_setting(trust: TrustBundle, keys: Keys, clock: Clock) -> None:
    signer = TokenSigner("authsvc", keys["authsvc"], clock, registry_audience="registry.example.org")
    token = signer.sign(RegistryToken(subject="user:7")).text
    verifier = TokenVerifier(trust, clock, registry_audience="registry.example.org")
    assert verifier.verify(token, RegistryToken).audience == "registry.example.org"
    assert "audience" in refusal(TokenVerifier(trust, clock), token)


@pytest.mark.parametrize("issuer", ["metasvc", "AUTHSVC", "harbor-token-issuer", 5])
def test_another_issuer_is_refused(verifier: TokenVerifier, keys: Keys, issuer: Any) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(iss=issuer)))


def test_a_token_lives_until_it_expires_and_the_leeway_is_over(
    verifier: TokenVerifier, keys: Keys, clock: Clock
) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload())
    fresh = payload(jti="2")
    clock.time = NOW + 1800 + 59
    verifier.verify(token, RegistryToken)
    clock.time = NOW + 1800 + 60
    # once as one that was remembered, once as one that never was
    assert "expired" in refusal(verifier, token)
    assert "expired" in refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), fresh))


def test_other_kinds_have_five_seconds(verifier: TokenVerifier, keys: Keys, clock: Clock) -> None:
    token = TokenSigner("gateway", keys["gateway"], clock).sign(ServiceToken(subject="service:gateway")).text
    clock.time = NOW + 300 + 4
    verifier.verify(token, ServiceToken)
    clock.time = NOW + 300 + 5
    assert "expired" in refusal(verifier, token, ServiceToken)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_of_the_future_is_refused(verifier: TokenVerifier, keys: Keys, clock: Clock, claim: str) -> None:
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload(**{claim: NOW + 61}))
    assert "not valid yet" in refusal(verifier, token)
    clock.time = NOW + 1
    verifier.verify(token, RegistryToken)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "access"])
def test_a_missing_claim_is_refused(verifier: TokenVerifier, keys: Keys, claim: str) -> None:
    assert claim in refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(**{claim: None})))


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", ["1900000000", 1.9e9, True, -1, 2**63, [], {}, float("nan"), float("inf")])
def test_times_are_whole_numbers(verifier: TokenVerifier, keys: Keys, claim: str, value: Any) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(**{claim: value})))


@pytest.mark.parametrize(
    "subject",
    ["", "7", "user:", "user:0", "user:07", "user:-1", "root", "user:7 ", "user:\u0667", "service:", 7, "user:7\n"],
)
def test_a_subject_is_one_of_the_four_forms(verifier: TokenVerifier, keys: Keys, subject: Any) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(sub=subject)))


@pytest.mark.parametrize(
    "access",
    [
        {},
        "repository:p/r:pull",
        [None],
        [{}],
        [{"type": "repository", "name": "p/r", "actions": "pull", "project_id": 3}],
        [{"type": "repository", "name": "p/r", "actions": [1], "project_id": 3}],
        [{"type": "repository", "name": "p/r", "actions": ["pull"]}],
        [{"type": "repository", "name": "p/r", "actions": ["pull"], "project_id": 0}],
        [{"type": "repository", "name": "p/r", "actions": ["pull"], "project_id": True}],
        [{"type": "repository", "name": "", "actions": ["pull"], "project_id": 3}],
    ],
)
def test_access_that_is_none_is_refused(verifier: TokenVerifier, keys: Keys, access: Any) -> None:
    assert "incomplete" in refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(access=access)))


@pytest.mark.parametrize("name", ["", 7, ["alice"], {}])
def test_a_name_that_is_no_text_is_refused(verifier: TokenVerifier, keys: Keys, name: Any) -> None:
    good, bad = payload(name="alice"), payload(name=name)
    assert verifier.verify(signed(keys["authsvc"], header(keys["authsvc"]), good), RegistryToken).name == "alice"
    assert "incomplete" in refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), bad))


@pytest.mark.parametrize("name", ["repository", "project_id", "digest", "generation", "size"])
def test_a_grant_that_lacks_something_is_refused(verifier: TokenVerifier, keys: Keys, name: str) -> None:
    claims = payload(iss="metasvc", aud="blobsvc", access=None) | BLOB
    good = signed(keys["metasvc"], header(keys["metasvc"], typ="grant+jwt"), claims)
    verifier.verify(good, Grant)
    bad = signed(keys["metasvc"], header(keys["metasvc"], typ="grant+jwt"), claims | {name: None})
    assert name in refusal(verifier, bad, Grant)


@pytest.mark.parametrize(
    "changes", [{"uid": 8}, {"kind": "robot"}, {"kind": "root"}, {"admin": 1}, {"admin": None}, {"name": ""}]
)
def test_an_identity_must_agree_with_itself(verifier: TokenVerifier, keys: Keys, changes: dict[str, Any]) -> None:
    claims = payload(aud="roadstead", access=None) | {"kind": "user", "uid": 7, "name": "a", "admin": False}
    head = header(keys["authsvc"], typ="identity+jwt")
    verifier.verify(signed(keys["authsvc"], head, claims), IdentityToken)
    assert "incomplete" in refusal(verifier, signed(keys["authsvc"], head, claims | changes), IdentityToken)


@pytest.mark.parametrize(
    "cause",
    [
        None,
        "user:7",
        [],
        {},
        {"kind": "user", "id": 7},
        {"kind": "user", "id": 7, "name": None},
        {"kind": "user", "id": True, "name": "a"},
        {"kind": "user", "id": -1, "name": "a"},
        {"kind": "user", "id": 2**63, "name": "a"},
        {"kind": "root", "id": 7, "name": "a"},
        {"kind": ["user"], "id": 7, "name": "a"},
        {"kind": "user", "id": 7, "name": "a", "on_behalf_of": "b"},
        {"kind": "service", "id": 0, "name": "a", "on_behalf_of": {"kind": "user"}},
    ],
)
def test_on_behalf_of_is_an_actor(verifier: TokenVerifier, keys: Keys, cause: Any) -> None:
    claims = payload(iss="metasvc", sub="service:metasvc", aud="authsvc", access=None)
    head = header(keys["metasvc"], typ="acting+jwt")
    good = claims | {"on_behalf_of": {"kind": "user", "id": 7, "name": "a"}}
    read = verifier.verify(signed(keys["metasvc"], head, good), ActingToken, audience="authsvc")
    assert read.on_behalf_of == Actor("user", 7, "a")
    bad = signed(keys["metasvc"], head, claims | {"on_behalf_of": cause})
    with pytest.raises(TokenError, match="incomplete"):
        verifier.verify(bad, ActingToken, audience="authsvc")


def test_a_chain_of_causes_has_an_end(verifier: TokenVerifier, keys: Keys) -> None:
    claims = payload(iss="metasvc", sub="service:metasvc", aud="authsvc", access=None)
    cause: dict[str, Any] = {"kind": "user", "id": 7, "name": "a"}
    for _ in range(4):
        cause = {"kind": "service", "id": 0, "name": "jobsvc", "on_behalf_of": cause}
    token = signed(keys["metasvc"], header(keys["metasvc"], typ="acting+jwt"), claims | {"on_behalf_of": cause})
    with pytest.raises(TokenError, match="incomplete"):
        verifier.verify(token, ActingToken, audience="authsvc")


def test_an_acting_token_is_for_one_service_also_when_it_was_verified_before(
    verifier: TokenVerifier, keys: Keys, clock: Clock
) -> None:
    signer = TokenSigner("metasvc", keys["metasvc"], clock)
    token = signer.sign(ActingToken(subject="service:metasvc"), audience="authsvc").text
    for _ in range(2):
        assert verifier.verify(token, ActingToken, audience="authsvc").service == "metasvc"
        for audience in ("metasvc", "blobsvc", None):
            with pytest.raises(TokenError, match="another audience"):
                verifier.verify(token, ActingToken, audience=audience)


def test_a_service_acts_only_by_its_own_key_and_the_gateway_by_none(verifier: TokenVerifier, keys: Keys) -> None:
    def refused(key: str, issuer: str, subject: str) -> str:
        claims = payload(iss=issuer, sub=subject, aud="authsvc", access=None)
        token = signed(keys[key], header(keys[key], typ="acting+jwt"), claims)
        with pytest.raises(TokenError) as caught:
            verifier.verify(token, ActingToken, audience="authsvc")
        return caught.value.message

    assert "may not sign" in refused("gateway", "gateway", "service:gateway")
    assert "may not sign" in refused("gateway", "metasvc", "service:metasvc")
    assert "another service" in refused("blobsvc", "metasvc", "service:metasvc")
    assert "sub" in refused("blobsvc", "blobsvc", "service:metasvc")
    assert "sub" in refused("blobsvc", "blobsvc", "user:7")


def test_a_changed_token_is_refused(verifier: TokenVerifier, keys: Keys) -> None:
    head, body, signature = signed(keys["authsvc"], header(keys["authsvc"]), payload()).split(".")
    other = segment(payload(sub="user:1"))
    assert "signature" in refusal(verifier, f"{head}.{other}.{signature}")
    assert "signature" in refusal(verifier, f"{head}.{body}.{encode(bytes(64))}")
    assert "signature" in refusal(verifier, f"{head}.{body}.{signature[:-2]}")
    assert "signature" in refusal(verifier, f"{head}.{body}.")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"{", b"\xff\xfe", b"[" * 5_000])
def test_a_signed_payload_that_is_no_object_is_refused(verifier: TokenVerifier, keys: Keys, body: bytes) -> None:
    text = f"{segment(header(keys['authsvc']))}.{encode(body)}"
    refusal(verifier, f"{text}.{es256(keys['authsvc'], text)}")


@pytest.mark.parametrize("extra", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}])
def test_extensions_are_not_understood(verifier: TokenVerifier, keys: Keys, extra: dict[str, Any]) -> None:
    refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"], **extra), payload()))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "....",
        "a.b.c",
        "eyJ.eyJ.x",
        "not a token",
        "\x00",
        "ü.ü.ü",
        "٣.٣.٣",
        "\ud800.a.b",
        encode(b"[]") + ".e30.AA",
        encode(b"null") + ".e30.AA",
        encode(b'{"alg":') + ".e30.AA",
        encode(b"[" * 5_000) + ".e30.AA",
        encode(b"\xff") + ".e30.AA",
        "e30=.e30=.AA==",
    ],
)
def test_garbage_is_refused(verifier: TokenVerifier, token: str) -> None:
    refusal(verifier, token)


def test_an_oversized_token_is_refused_before_anything_in_it_is_read(
    trust: TrustBundle, keys: Keys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        {"type": "repository", "name": f"p/{'r' * 200}{number}", "actions": ["pull"], "project_id": 3}
        for number in range(60)
    ]
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload(access=names))
    assert len(token) > MAXIMUM_TOKEN_BYTES
    verifier = TokenVerifier(trust, clock)
    monkeypatch.setattr(verifier, "_verify_uncached", None)
    assert "malformed" in refusal(verifier, token)


def test_a_large_token_within_the_limit_is_good(verifier: TokenVerifier, keys: Keys) -> None:
    names = [
        {"type": "repository", "name": f"project/repository-{number}", "actions": ["pull"], "project_id": 3}
        for number in range(110)
    ]
    token = signed(keys["authsvc"], header(keys["authsvc"]), payload(access=names))
    assert MAXIMUM_TOKEN_BYTES * 3 / 4 < len(token) <= MAXIMUM_TOKEN_BYTES
    assert len(verifier.verify(token, RegistryToken).access) == 110
