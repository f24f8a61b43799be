"""The public keys of a service, from one state to the next."""

import json
from typing import Any

import pytest

from svckit.key_set import KeySet, RevokedKeyError
from svckit.keys import KeyPair

FIRST, SECOND, THIRD = (KeyPair.generate() for _ in range(3))


def started(keypair: KeyPair, now: int = 100) -> KeySet:
    return KeySet().with_own(keypair, now)


def states(keys: KeySet, now: float) -> dict[str, str]:
    return {kid: keys.state(kid, now) for kid in [*keys.keys, *keys.revoked]}


def times(keys: KeySet, keypair: KeyPair) -> tuple[int | None, int | None, int | None]:
    key = keys.keys[keypair.kid]
    return key.made_time, key.signing_time, key.end_time


def test_a_key_is_next_then_signs_then_verifies_then_has_ended() -> None:
    keys = started(FIRST)
    assert states(keys, 100) == {FIRST.kid: "signs"}
    keys = keys.with_next(SECOND, 200)
    assert states(keys, 200) == {FIRST.kid: "signs", SECOND.kid: "next"}
    keys = keys.with_signing(SECOND.kid, 300, 900)
    assert states(keys, 899) == {FIRST.kid: "verifies", SECOND.kid: "signs"}
    assert states(keys, 900) == {FIRST.kid: "ended", SECOND.kid: "signs"}
    assert times(keys, FIRST) == (100, 100, 900)
    assert times(keys, SECOND) == (200, 300, None)
    assert states(keys.without_ended(899), 899) == {FIRST.kid: "verifies", SECOND.kid: "signs"}
    assert states(keys.without_ended(900), 900) == {SECOND.kid: "signs"}


def test_a_file_keeps_all_of_it_and_its_times_are_members_of_the_jwk() -> None:
    keys = started(FIRST).with_next(SECOND, 200).with_signing(SECOND.kid, 300, 900).with_revoked(THIRD.kid, 400)
    assert KeySet.parse(keys.render()) == keys
    document = json.loads(keys.render())
    assert document == {
        "keys": [
            {**FIRST.to_jwk(), "iat": 100, "nbf": 100, "exp": 900},
            {**SECOND.to_jwk(), "iat": 200, "nbf": 300},
        ],
        "revoked": [{"kid": THIRD.kid, "revoked_at": 400}],
    }


def test_a_member_that_somebody_added_stays() -> None:
    jwk = {**FIRST.to_jwk(), "key_ops": ["verify"]}
    keys = KeySet.parse(json.dumps({"keys": [jwk]}).encode()).with_next(SECOND, 5)
    assert json.loads(keys.render())["keys"][0] == jwk


def test_a_key_from_before_there_were_rotations_signs() -> None:
    keys = KeySet.parse(json.dumps({"keys": [FIRST.to_jwk()]}).encode())
    assert states(keys, 0) == {FIRST.kid: "signs"}
    keys = keys.with_next(SECOND, 200).with_signing(SECOND.kid, 300, 900)
    assert states(keys, 300) == {FIRST.kid: "verifies", SECOND.kid: "signs"}
    assert times(keys, FIRST) == (None, None, 900)


def test_what_is_done_twice_is_done_once() -> None:
    keys = started(FIRST).with_next(SECOND, 200)
    assert keys.with_next(SECOND, 250) == keys
    assert keys.with_own(FIRST, 250) == keys
    keys = keys.with_signing(SECOND.kid, 300, 900)
    assert keys.with_signing(SECOND.kid, 350, 950) == keys
    keys = keys.with_revoked(FIRST.kid, 400)
    assert keys.with_revoked(FIRST.kid, 450) == keys


def test_after_two_rotations_each_old_key_has_its_own_end() -> None:
    keys = started(FIRST).with_next(SECOND, 200).with_signing(SECOND.kid, 300, 900)
    keys = keys.with_next(THIRD, 310).with_signing(THIRD.kid, 320, 920)
    assert [times(keys, each)[2] for each in (FIRST, SECOND, THIRD)] == [900, 920, None]


def test_a_key_that_is_prepared_stays_when_another_is_said_to_sign() -> None:
    keys = started(FIRST).with_next(SECOND, 200).with_next(THIRD, 210)
    keys = keys.with_signing(SECOND.kid, 300, 900, next_kid=THIRD.kid)
    assert states(keys, 300) == {FIRST.kid: "verifies", SECOND.kid: "signs", THIRD.kid: "next"}


def test_a_next_key_whose_private_half_is_lost_gets_an_end_too() -> None:
    keys = started(FIRST).with_next(SECOND, 200).with_next(THIRD, 210).with_signing(THIRD.kid, 300, 900)
    assert states(keys, 300) == {FIRST.kid: "verifies", SECOND.kid: "verifies", THIRD.kid: "signs"}
    assert states(keys, 900)[SECOND.kid] == "ended"


def test_a_key_that_is_signed_with_again_has_no_end() -> None:
    keys = started(FIRST).with_next(SECOND, 200).with_signing(SECOND.kid, 300, 900)
    assert times(keys.with_own(FIRST, 400), FIRST) == (100, 100, None)
    keys = keys.with_signing(FIRST.kid, 400, 950)
    assert times(keys, FIRST) == (100, 400, None)
    assert times(keys, SECOND) == (200, 300, 950)


def test_a_key_file_is_older_than_a_key_that_began_later() -> None:
    keys = started(FIRST).with_next(SECOND, 200)
    assert keys.newer_than(FIRST.kid) is None
    keys = keys.with_signing(SECOND.kid, 300, 900)
    newer = keys.newer_than(FIRST.kid)
    assert newer is not None
    assert newer.kid == SECOND.kid
    assert keys.newer_than(SECOND.kid) is None
    assert keys.with_revoked(SECOND.kid, 400).newer_than(FIRST.kid) is None


def test_a_revoked_key_is_not_published_again() -> None:
    keys = started(FIRST).with_revoked(FIRST.kid, 200)
    assert states(keys, 200) == {FIRST.kid: "revoked"}
    with pytest.raises(RevokedKeyError):
        keys.with_own(FIRST, 300)


def test_a_revoked_key_that_an_older_program_published_again_is_not_read() -> None:
    document = {"keys": [FIRST.to_jwk(), SECOND.to_jwk()], "revoked": [{"kid": FIRST.kid, "revoked_at": 5}]}
    assert list(KeySet.parse(json.dumps(document).encode()).keys) == [SECOND.kid]


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": "5"},
        {"nbf": True},
        {"exp": -1},
        {"exp": 1.5},
    ],
    ids=str,
)
def test_a_time_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds"):
        KeySet.parse(json.dumps({"keys": [{**FIRST.to_jwk(), **changes}]}).encode())


@pytest.mark.parametrize("revoked", [5, [5], [{}], [{"kid": "a"}], [{"kid": 5, "revoked_at": 5}]], ids=str)
def test_a_list_of_revoked_keys_that_is_none_is_refused(revoked: Any) -> None:
    with pytest.raises(ValueError, match="revoked"):
        KeySet.parse(json.dumps({"keys": [], "revoked": revoked}).encode())
