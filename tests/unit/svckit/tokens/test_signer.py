import uuid

import jwt
import pytest

from svckit.keys import KeyPair
from svckit.tokens import Access, Claims, Grant, IdentityToken, Receipt, RegistryToken, ServiceToken, UploadTicket
from svckit.tokens.claims import ClaimsError
from svckit.tokens.signer import ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from tests.unit.svckit.tokens.forge import NOW, Clock

Keys = dict[str, KeyPair]

TICKET = UploadTicket(subject="user:7", upload_id="u", repository="p/r", project_id=3)
RECEIPT = Receipt(subject="user:7", repository="p/r", project_id=3, digest="sha256:a", generation=2, size=5)
GRANT = Grant(subject="user:7", repository="p/r", project_id=3, digest="sha256:a", generation=2, size=5)


def test_a_registry_token_reads_as_dockers_token_specification_says(keys: Keys, clock: Clock) -> None:
    access = (
        Access("repository", "p/r", frozenset({"push", "pull"}), 3),
        Access("registry", "catalog", frozenset({"*"})),
    )
    says = RegistryToken(subject="user:7", name="alice", access=access)
    token = TokenSigner("authsvc", keys["authsvc"], clock).sign(says).text
    assert jwt.get_unverified_header(token) == {
        "alg": "ES256",
        "typ": "registry+jwt",
        "kid": keys["authsvc"].kid,
    }
    claims = jwt.decode(
        token,
        keys["authsvc"].public_key,
        algorithms=["ES256"],
        audience="harbor-registry",
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert uuid.UUID(claims.pop("jti")).version == 4
    assert claims == {
        "iss": "authsvc",
        "aud": "harbor-registry",
        "sub": "user:7",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 1800,
        "name": "alice",
        "access": [
            {"type": "repository", "name": "p/r", "actions": ["pull", "push"], "project_id": 3},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
        ],
    }


@pytest.mark.parametrize(
    ("service", "claims", "audience", "lifetime_seconds"),
    [
        ("authsvc", RegistryToken(subject="user:7"), "harbor-registry", 1800),
        ("authsvc", IdentityToken(subject="user:7", kind="user", id=7, name="a"), "roadstead", 300),
        ("blobsvc", ServiceToken(subject="service:blobsvc"), "roadstead", 300),
        ("blobsvc", RECEIPT, "metasvc", 3600),
        ("metasvc", GRANT, "blobsvc", 300),
    ],
)
def test_each_kind_has_its_audience_and_lifetime(
    keys: Keys, clock: Clock, service: str, claims: Claims, audience: str, lifetime_seconds: int
) -> None:
    signed = TokenSigner(service, keys[service], clock).sign(claims).claims
    assert (signed.audience, signed.expire_time - signed.issued_time) == (audience, lifetime_seconds)


def test_a_ticket_lives_as_long_as_its_session_which_the_signer_must_say(keys: Keys, clock: Clock) -> None:
    signer = TokenSigner("blobsvc", keys["blobsvc"], clock)
    with pytest.raises(ValueError, match="lifetime"):
        signer.sign(TICKET)
    assert signer.sign(TICKET, lifetime_seconds=7 * 86400).claims.expire_time == NOW + 7 * 86400


@pytest.mark.parametrize("lifetime_seconds", [0, -1])
def test_a_token_that_is_born_dead_is_not_signed(keys: Keys, clock: Clock, lifetime_seconds: int) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        TokenSigner("metasvc", keys["metasvc"], clock).sign(GRANT, lifetime_seconds=lifetime_seconds)


@pytest.mark.parametrize(("service", "claims"), [("gateway", GRANT), ("metasvc", RECEIPT), ("blobsvc", GRANT)])
def test_a_service_signs_only_its_own_kinds(keys: Keys, service: str, claims: Claims) -> None:
    with pytest.raises(ValueError, match="does not sign"):
        TokenSigner(service, keys[service]).sign(claims)


def test_two_tokens_that_say_the_same_are_two(keys: Keys, clock: Clock) -> None:
    signer = TokenSigner("metasvc", keys["metasvc"], clock)
    assert signer.sign(GRANT).claims.token_id != signer.sign(GRANT).claims.token_id


def test_the_repr_of_a_signed_token_hides_it(keys: Keys) -> None:
    signed = TokenSigner("metasvc", keys["metasvc"]).sign(GRANT)
    assert "eyJ" not in repr(signed)
    assert signed.text not in repr(signed)


@pytest.mark.parametrize("subject", ["", "root", "user:0", "user:x", "robot:1\n", "service:Meta"])
def test_claims_with_no_subject_cannot_be_built(subject: str) -> None:
    with pytest.raises(ClaimsError):
        RegistryToken(subject=subject)


def test_access_is_exactly_what_is_named() -> None:
    token = RegistryToken(subject="user:7", access=(Access("repository", "p/r", frozenset({"pull"}), 3),))
    entry = token.allowed("repository", "p/r", "pull")
    assert entry is not None
    assert entry.project_id == 3
    assert token.allowed("repository", "p/r", "push") is None
    assert token.allowed("repository", "p/r2", "pull") is None
    assert token.allowed("repository", "p", "pull") is None
    assert token.allowed("registry", "p/r", "pull") is None


def test_a_service_token_is_kept_until_less_than_a_minute_is_left(
    keys: Keys, clock: Clock, verifier: TokenVerifier
) -> None:
    source = ServiceTokenSource(TokenSigner("gateway", keys["gateway"], clock), clock)
    first = source.current()
    clock.time = NOW + 240
    assert source.current() == first
    clock.time = NOW + 241
    second = source.current()
    assert second != first
    assert verifier.verify(second, ServiceToken).service == "gateway"
