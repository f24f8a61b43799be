"""Which registry tokens are revoked, and what a process takes of what others tell it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from svckit.keys import KeyPair
from svckit.log_position import LogPosition
from svckit.tokens import Access, RegistryToken
from svckit.tokens.revocation import ANYBODY, KEPT, Loss, Revocation, Revocations
from svckit.tokens.verifier import TokenError, TokenVerifier
from tests.unit.svckit.tokens.forge import header, payload, signed
from tests.unit.svckit.tokens.refused import refusal

EPOCH, OTHER = "e" * 32, "f" * 32
TIME = datetime(2027, 1, 1, tzinfo=UTC)
AS_OF = {"epoch": EPOCH, "revision": 5}


def at(revision: int, epoch: str = EPOCH) -> LogPosition:
    return LogPosition(epoch=epoch, revision=revision)


def lost(revision: int, *subjects: str, projects: tuple[int, ...] = (), time: datetime = TIME) -> Revocation:
    return Revocation(revision, time, Loss(subjects or ("user:7",), projects))


def knowing(*revocations: Revocation, position: LogPosition | None = None) -> Revocations:
    known = Revocations()
    known.replace(position or at(100), revocations)
    return known


def token(revision: int = 5, **claims: Any) -> RegistryToken:
    access = (Access("repository", "p/r", frozenset({"pull"}), 3, claims.pop("is_public", False)),)
    return RegistryToken(**{"subject": "user:7", "access": access, "as_of": at(revision), **claims})


@pytest.mark.parametrize(
    "revocation, revoked",
    [
        (lost(6), True),
        (lost(5), False),
        (lost(6, "user:8"), False),
        (lost(6, "user:8", "user:7"), True),
        (lost(6, projects=(2, 3)), True),
        (lost(6, projects=(2,)), False),
        (lost(6, ANYBODY, projects=(3,)), False),
        (lost(6, "refresh_token:9"), False),
    ],
)
def test_a_token_is_revoked_by_a_later_loss_of_its_subject_in_its_projects(
    revocation: Revocation, revoked: bool
) -> None:
    assert knowing(revocation).is_revoked(token()) is revoked


def test_a_right_that_was_public_and_a_refresh_token_are_lost_by_themselves() -> None:
    assert knowing(lost(6, ANYBODY, projects=(3,))).is_revoked(token(is_public=True))
    assert not knowing(lost(6, ANYBODY, projects=(4,))).is_revoked(token(is_public=True))
    assert knowing(lost(6, "refresh_token:9")).is_revoked(token(refresh_token_id=9))
    assert not knowing(lost(6, "refresh_token:9")).is_revoked(token(refresh_token_id=8))


def test_an_older_loss_does_not_hide_behind_a_newer_one_of_others() -> None:
    known = knowing(lost(6), lost(7, "user:8"), lost(8, projects=(2,)))
    assert known.is_revoked(token())
    assert not known.is_revoked(token(revision=6))


def test_nothing_is_revoked_before_anything_is_known() -> None:
    assert not Revocations().is_revoked(token())


def test_a_token_of_another_epoch_is_revoked() -> None:
    assert knowing(position=at(1, OTHER)).is_revoked(token(revision=1000))


def test_a_token_is_judged_at_each_call_also_if_it_is_remembered(
    verifier: TokenVerifier, keys: Mapping[str, KeyPair]
) -> None:
    text = signed(keys["authsvc"], header(keys["authsvc"]), payload(as_of=AS_OF))
    claims = verifier.verify(text, RegistryToken)
    verifier.revocations.replace(at(6), [lost(6)])
    for expired_seconds in (0, 3600):
        # Also where an upload goes on with a token that may have expired.
        with pytest.raises(TokenError, match="is revoked"):
            verifier.verify(text, RegistryToken, expired_seconds=expired_seconds)
    with pytest.raises(TokenError, match="is revoked"):
        verifier.check_not_revoked(claims)
    newer = signed(keys["authsvc"], header(keys["authsvc"]), payload(as_of={"epoch": EPOCH, "revision": 6}))
    assert verifier.verify(newer, RegistryToken).as_of == at(6)


@pytest.mark.parametrize(
    "claims",
    [
        {"as_of": "5"},
        {"as_of": {"epoch": EPOCH}},
        {"as_of": {"epoch": EPOCH, "revision": -1}},
        {"as_of": {"epoch": 5, "revision": 5}},
        {"refresh_token_id": "9"},
        {"access": [{"type": "repository", "name": "p/r", "actions": ["pull"], "project_id": 3, "public": "yes"}]},
    ],
)
def test_malformed_claims_are_refused(
    verifier: TokenVerifier, keys: Mapping[str, KeyPair], claims: Mapping[str, object]
) -> None:
    assert "is incomplete" in refusal(verifier, signed(keys["authsvc"], header(keys["authsvc"]), payload(**claims)))


def test_a_process_takes_what_follows_without_a_gap() -> None:
    known = Revocations()
    known.merge(at(3), at(6), [lost(6)], TIME)
    assert (known.position, len(known)) == (None, 0)
    known.merge(None, at(6), [lost(2), lost(6)], TIME)
    known.merge(at(8), at(9), [lost(9)], TIME)
    assert known.position == at(6)
    known.merge(at(4), at(9), [lost(6), lost(9)], TIME)
    assert (known.position, [each.revision for each in known.behind(0)]) == (at(9), [2, 6, 9])
    # Another one is behind, and takes nothing back.
    known.merge(at(2), at(6), [lost(6)], TIME)
    known.merge(None, at(6), [lost(2), lost(6)], TIME)
    assert (known.position, [each.revision for each in known.behind(2)]) == (at(9), [6, 9])


def test_another_epoch_is_taken_from_its_beginning_only() -> None:
    known = knowing(lost(6))
    known.merge(at(6, OTHER), at(7, OTHER), [lost(7)], TIME)
    assert known.position == at(100)
    known.merge(None, at(7, OTHER), [lost(7)], TIME)
    assert (known.position, len(known)) == (at(7, OTHER), 1)


def test_what_is_outdated_is_dropped_and_the_rest_stays() -> None:
    known = knowing(lost(1, "user:7", "user:8"), lost(2, "user:7", time=TIME + timedelta(hours=1)))
    known.forget_outdated(TIME + KEPT + timedelta(minutes=1))
    assert known.is_revoked(token(revision=1))
    assert not known.is_revoked(token(revision=0, subject="user:8"))
    known.forget_outdated(TIME + KEPT + timedelta(hours=2))
    assert len(known) == 0
    assert not known.is_revoked(token(revision=0))
