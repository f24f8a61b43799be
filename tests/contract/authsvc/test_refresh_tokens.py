"""Refresh tokens: what they open, who gets one, for which client and service, and how long. On both databases."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from authsvc.domain import refresh_token as domain
from authsvc.domain.refresh_token_text import TOKEN_PREFIX, RefreshTokenTexts
from roadstead.access.v1.project_ref_pb2 import ProjectRef
from roadstead.auth.v1 import member_service_pb2, refresh_token_pb2, robot_pb2, token_service_pb2, user_service_pb2
from roadstead.auth.v1 import refresh_token_service_pb2 as pb
from svckit.errors import DomainError, Invalid, Precondition, Unauthenticated
from svckit.sql.database import Database
from svckit.tokens import RegistryToken
from tests.contract.authsvc.refreshing import ROBOT, SCOPE, SECRET, granted, is_dead, rows
from tests.contract.metasvc.statements import sent_statements
from tests.harness.authsvc import PASSWORD, AuthService, Caller, credentials, serving


class TestWhatItOpens:
    async def test_a_registry_token_of_its_holder_with_what_the_holder_may_do_now(
        self, authsvc: AuthService, alice: Caller
    ) -> None:
        bob = await authsvc.user("bob")
        member_id = await alice.add_member("team", bob, "guest")
        token = await authsvc.refresh_token("bob")

        says = authsvc.keyring.verifier().verify((await authsvc.exchange(token, SCOPE)).token, RegistryToken)
        assert (says.subject, says.name) == (f"user:{bob.id}", "bob")
        assert await granted(authsvc, token) == {"pull"}
        await alice.members.UpdateMember(
            member_service_pb2.UpdateMemberRequest(project=ProjectRef(name="team"), member_id=member_id, role_id=2)
        )
        assert await granted(authsvc, token) == {"pull", "push"}
        await alice.members.DeleteMember(
            member_service_pb2.DeleteMemberRequest(project=ProjectRef(name="team"), member_id=member_id)
        )
        assert await granted(authsvc, token) == set()

    async def test_a_robot_has_one_too(self, authsvc: AuthService, robot: robot_pb2.CreatedRobot) -> None:
        token = await authsvc.refresh_token(ROBOT, SECRET)
        says = authsvc.keyring.verifier().verify((await authsvc.exchange(token, SCOPE)).token, RegistryToken)
        assert (says.subject, says.name) == (f"robot:{robot.id}", ROBOT)
        assert await granted(authsvc, token) == {"pull", "push"}

    async def test_many_exchanges_at_once_and_again_with_the_same_token(
        self, authsvc: AuthService, alice: Caller
    ) -> None:
        # Docker makes several at once, and keeps no other token that an answer might bring.
        token = await authsvc.refresh_token("alice")
        for _ in range(2):
            answers = await asyncio.gather(*(granted(authsvc, token) for _ in range(20)))
            assert answers == [{"pull", "push"}] * 20

    async def test_it_is_no_password_and_opens_no_management(self, authsvc: AuthService, alice: Caller) -> None:
        token = await authsvc.refresh_token("alice")
        with pytest.raises(Unauthenticated):
            await authsvc.log_in("alice", token)
        with pytest.raises(Unauthenticated):
            await Caller(authsvc, token).users.GetCurrentUser(user_service_pb2.GetCurrentUserRequest())
        with pytest.raises(Unauthenticated):
            await authsvc.refresh_token("alice", token)

    async def test_what_is_no_refresh_token_is_refused(self, authsvc: AuthService, alice: Caller) -> None:
        token = await authsvc.refresh_token("alice")
        for wrong in ("", token[:-1], token + "x", token.upper(), "rsr_", "ü" * 40, "a\0b", PASSWORD, alice.token):
            assert await is_dead(authsvc, wrong[:1024]), wrong


class TestWhoGetsOne:
    @pytest.mark.parametrize("secret", ["wrong", ""])
    async def test_nobody_by_a_wrong_password(self, authsvc: AuthService, alice: Caller, secret: str) -> None:
        with pytest.raises(Unauthenticated):
            await authsvc.refresh_token("alice", secret)

    async def test_nobody_without_credentials_or_by_an_identity_token(
        self, authsvc: AuthService, alice: Caller
    ) -> None:
        # An identity token lives for minutes, and must not become one that lives for weeks.
        for caller in (authsvc.anonymous, alice):
            with pytest.raises(Unauthenticated):
                await caller.refresh_tokens.CreateRefreshToken(pb.CreateRefreshTokenRequest(client_id="docker"))

    @pytest.mark.parametrize("client_id", ["", "a\nb", "ü", "x" * 256])
    async def test_no_client_with_a_malformed_name(self, authsvc: AuthService, alice: Caller, client_id: str) -> None:
        with pytest.raises(Invalid):
            await authsvc.refresh_token("alice", client_id=client_id)

    async def test_nobody_from_another_token_service(self, authsvc: AuthService, alice: Caller) -> None:
        request = pb.CreateRefreshTokenRequest(
            credentials=credentials("alice", PASSWORD), client_id="docker", service="docker.io"
        )
        with pytest.raises(Invalid):
            await authsvc.anonymous.refresh_tokens.CreateRefreshToken(request)

    async def test_nobody_where_they_are_switched_off_and_those_from_before_are_dead(
        self, authsvc: AuthService, alice: Caller, other_folder: Path
    ) -> None:
        token = await authsvc.refresh_token("alice")
        async with serving(authsvc.store, other_folder, refresh_token_days=0) as without:
            with pytest.raises(Precondition):
                await without.refresh_token("alice")
            assert await is_dead(without, token)
        assert not await is_dead(authsvc, token)

    async def test_an_account_that_has_too_many_loses_the_one_that_is_unused_longest_or_gets_none(
        self, authsvc: AuthService, alice: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(domain, "MAXIMUM_FOR_EACH", 3)
        await authsvc.user("bob")
        tokens = [await authsvc.refresh_token("alice") for _ in range(3)]
        with pytest.raises(Precondition):
            await authsvc.refresh_token("alice")
        assert await authsvc.refresh_token("bob")

        authsvc.clock.ahead = timedelta(days=1, seconds=1)
        assert not await is_dead(authsvc, tokens[0])
        tokens.append(await authsvc.refresh_token("alice"))
        assert [await is_dead(authsvc, token) for token in tokens] == [False, True, False, False]
        with pytest.raises(Precondition):
            await authsvc.refresh_token("alice")


class TestItsClient:
    async def test_another_client_is_refused_and_its_own_goes_on(self, authsvc: AuthService, alice: Caller) -> None:
        token = await authsvc.refresh_token("alice", client_id="ci-runner")
        for stranger in ("ci-runner2", "CI-RUNNER", "docker", "", "ci-runner "):
            assert await is_dead(authsvc, token, stranger), stranger
        assert not await is_dead(authsvc, token, "ci-runner")

    async def test_what_docker_logged_in_is_good_for_all_that_read_its_file_and_nobody_else(
        self, authsvc: AuthService, alice: Caller
    ) -> None:
        token = await authsvc.refresh_token("alice", client_id="docker")
        for client_id in ("docker", "buildkit-client", "containerd-client", "containers/image", "oras-go"):
            assert not await is_dead(authsvc, token, client_id), client_id
        assert await is_dead(authsvc, token, "ci-runner")

    async def test_with_nothing_shared_each_client_has_its_own(
        self, authsvc: AuthService, alice: Caller, other_folder: Path
    ) -> None:
        token = await authsvc.refresh_token("alice", client_id="docker")
        async with serving(authsvc.store, other_folder, refresh_token_shared_by=()) as strict:
            assert await is_dead(strict, token, "buildkit-client")
            assert not await is_dead(strict, token, "docker")


class TestItsService:
    async def test_a_token_of_another_service_is_refused(
        self, authsvc: AuthService, alice: Caller, other_folder: Path
    ) -> None:
        token = await authsvc.refresh_token("alice")
        # The same rows, and the same key.
        async with serving(authsvc.store, other_folder, token_service="other-registry") as other:
            assert await is_dead(other, token)
            assert await is_dead(authsvc, await other.refresh_token("alice"))
        assert not await is_dead(authsvc, token)

    async def test_an_exchange_that_names_another_service_is_refused(self, authsvc: AuthService, alice: Caller) -> None:
        presented = refresh_token_pb2.PresentedRefreshToken(
            token_secret=await authsvc.refresh_token("alice"), client_id="docker"
        )
        with pytest.raises(Invalid):
            await authsvc.anonymous.tokens.CreateRegistryToken(
                token_service_pb2.CreateRegistryTokenRequest(refresh_token=presented, service="docker.io")
            )


class TestItsTime:
    async def test_it_lives_on_from_each_use_and_ends_when_it_is_left_alone(
        self, authsvc: AuthService, alice: Caller, migrated_database: Database
    ) -> None:
        used, left = await authsvc.refresh_token("alice"), await authsvc.refresh_token("alice")
        for days in (29, 58):
            authsvc.clock.ahead = timedelta(days=days)
            assert not await is_dead(authsvc, used)
        assert await is_dead(authsvc, left)

        await domain.remove_expired(authsvc.ports)
        assert len(await rows(migrated_database)) == 1
        assert not await is_dead(authsvc, used)
        authsvc.clock.ahead = timedelta(days=88)
        assert await is_dead(authsvc, used)
        await domain.remove_expired(authsvc.ports)
        assert await rows(migrated_database) == []

    async def test_expired_rows_are_removed_some_at_a_time_until_none_is_left(
        self, authsvc: AuthService, alice: Caller, migrated_database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(domain, "_REMOVED_AT_ONCE", 2)
        for _ in range(5):
            await authsvc.refresh_token("alice")
        authsvc.clock.ahead = timedelta(days=31)
        with sent_statements("DELETE") as sent:
            await domain.remove_expired(authsvc.ports)
        assert await rows(migrated_database) == []
        assert len(sent) == 3

    async def test_a_use_is_written_once_an_hour(self, authsvc: AuthService, alice: Caller) -> None:
        token = await authsvc.refresh_token("alice")
        with sent_statements("UPDATE") as sent:
            for _ in range(3):
                await authsvc.exchange(token)
            assert sent == []
            authsvc.clock.ahead = timedelta(hours=1)
            for _ in range(3):
                await authsvc.exchange(token)
            assert len(sent) == 1

    async def test_an_exchange_succeeds_though_its_use_cannot_be_written(
        self, authsvc: AuthService, alice: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await authsvc.refresh_token("alice")

        async def full(*_: object) -> None:
            raise DomainError("STORAGE_FULL")

        monkeypatch.setattr("authsvc.store.refresh_token.SqlRefreshTokens.note_use", full)
        authsvc.clock.ahead = timedelta(hours=1)
        with structlog.testing.capture_logs() as log:
            assert not await is_dead(authsvc, token)
        assert "refresh_token_use_not_written" in [line["event"] for line in log]


class TestTheftOfTheTable:
    async def test_nothing_in_a_row_opens_anything(
        self, authsvc: AuthService, alice: Caller, migrated_database: Database
    ) -> None:
        token = await authsvc.refresh_token("alice")
        [row] = await rows(migrated_database)
        values = [str(value) for value in row.values()]
        assert not [value for value in values if token.removeprefix(TOKEN_PREFIX) in value]
        for stolen in (row["token_hash"], f"{TOKEN_PREFIX}{row['token_hash']}", *values):
            assert await is_dead(authsvc, stolen), stolen

    async def test_without_the_key_nobody_can_tell_whether_a_token_is_in_it(
        self, authsvc: AuthService, alice: Caller, migrated_database: Database
    ) -> None:
        token = await authsvc.refresh_token("alice")
        [row] = await rows(migrated_database)
        plain = hashlib.sha256(token.encode()).hexdigest()
        by_another_key = RefreshTokenTexts(b"another key").hash(token)
        assert row["token_hash"] not in (plain, by_another_key)
        assert row["token_hash"] == authsvc.ports.refresh_token_texts.hash(token)
