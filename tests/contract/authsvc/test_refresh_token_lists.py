"""Lists of refresh tokens, their revocation, guesses, and what operators see of all that. On both databases."""

from __future__ import annotations

import time
from datetime import UTC, timedelta
from pathlib import Path

import pytest
import structlog

from authsvc.domain.attempts import Attempts
from authsvc.domain.hashing import VerifiedSecrets
from authsvc.domain.refresh_login import PresentedToken, RefreshLogin
from roadstead.auth.v1 import refresh_token_service_pb2 as pb
from roadstead.auth.v1 import robot_pb2
from roadstead.auth.v1.refresh_token_service_pb2_grpc import RefreshTokenServiceStub
from svckit.access import call as access_call
from svckit.errors import Denied, NotFound, Unauthenticated
from tests.contract.authsvc.refreshing import ROBOT, SECRET, is_dead, listed, revoke
from tests.harness.authsvc import PASSWORD, AuthService, Caller, credentials, serving


class TestListsAndRevocation:
    async def test_a_list_says_which_client_from_where_and_when(self, authsvc: AuthService, alice: Caller) -> None:
        begin = authsvc.clock()
        async with authsvc.service_channel("gateway") as channel:
            with access_call.serving(access_call.Call("GET /service/token", client_address="203.0.113.9")):
                await RefreshTokenServiceStub(channel).CreateRefreshToken(
                    pb.CreateRefreshTokenRequest(credentials=credentials("alice", PASSWORD), client_id="docker")
                )
        token = await authsvc.refresh_token("alice", client_id="ci")
        authsvc.clock.ahead = timedelta(hours=2)
        await authsvc.exchange(token, client_id="ci")

        newest, oldest = await listed(alice)
        assert (newest.client_id, oldest.client_id) == ("ci", "docker")
        assert (oldest.create_address, oldest.last_use_address) == ("203.0.113.9", "203.0.113.9")
        assert newest.service == oldest.service == "harbor-registry"
        used = newest.last_use_time.ToDatetime(tzinfo=UTC)
        assert used - newest.create_time.ToDatetime(tzinfo=UTC) >= timedelta(hours=2)
        assert newest.expire_time.ToDatetime(tzinfo=UTC) - used == timedelta(days=30)
        assert begin <= oldest.create_time.ToDatetime(tzinfo=UTC) == oldest.last_use_time.ToDatetime(tzinfo=UTC)
        assert token not in str(newest)

    async def test_pages_hold_one_s_own_and_no_dead_ones(self, authsvc: AuthService, alice: Caller) -> None:
        bob = await authsvc.user("bob")
        for who in ("alice", "bob", "alice", "alice"):
            await authsvc.refresh_token(who)
        ids = [token.id for token in await listed(alice)]
        assert ids == sorted(ids, reverse=True)
        found: list[int] = []
        page_token = ""
        for _ in range(3):
            page = await alice.refresh_tokens.ListUserRefreshTokens(
                pb.ListUserRefreshTokensRequest(user_id=alice.id, page_size=1, page_token=page_token)
            )
            found += [token.id for token in page.refresh_tokens]
            page_token = page.next_page_token
        assert (found, page_token) == (ids, "")
        assert len(await listed(bob)) == 1
        authsvc.clock.ahead = timedelta(days=31)
        assert await listed(await authsvc.log_in("alice", PASSWORD)) == []

    async def test_pages_by_number_and_totals_are_those_of_rest(
        self, authsvc: AuthService, alice: Caller, robot: robot_pb2.CreatedRobot
    ) -> None:
        for _ in range(3):
            await authsvc.refresh_token("alice")
            await authsvc.refresh_token(ROBOT, SECRET)
        of_user = pb.ListUserRefreshTokensRequest(user_id=alice.id)
        of_robot = pb.ListRobotRefreshTokensRequest(robot_id=robot.id)
        for call, request in (
            (alice.refresh_tokens.ListUserRefreshTokens, of_user),
            (alice.refresh_tokens.ListRobotRefreshTokens, of_robot),
        ):
            [*ids] = [token.id for token in (await call(request)).refresh_tokens]
            request.page, request.page_size, request.with_total = 2, 2, True
            page = await call(request)
            assert ([token.id for token in page.refresh_tokens], page.total_size) == (ids[2:], 3)

    async def test_administrators_list_and_end_those_of_anybody_and_others_their_own_only(
        self, authsvc: AuthService, alice: Caller
    ) -> None:
        bob = await authsvc.user("bob")
        token, of_bob = await authsvc.refresh_token("alice"), await authsvc.refresh_token("bob")
        [found] = await listed(authsvc.admin, alice.id)
        for refused in (listed(bob, alice.id), revoke(bob, alice.id, found.id)):
            with pytest.raises(Denied):
                await refused
        # Not by another owner's name either.
        with pytest.raises(NotFound):
            await revoke(bob, bob.id, found.id)
        assert not await is_dead(authsvc, token)
        await revoke(authsvc.admin, alice.id, found.id)
        assert await is_dead(authsvc, token)
        assert not await is_dead(authsvc, of_bob)
        with pytest.raises(NotFound):
            await revoke(authsvc.admin, alice.id, found.id)

    async def test_those_of_a_robot_are_for_whoever_may_read_and_change_the_robot(
        self, authsvc: AuthService, alice: Caller, robot: robot_pb2.CreatedRobot
    ) -> None:
        bob = await authsvc.user("bob")
        await alice.add_member("team", bob, "maintainer")
        token = await authsvc.refresh_token(ROBOT, SECRET)
        of_robot = pb.ListRobotRefreshTokensRequest(robot_id=robot.id)
        [found] = (await alice.refresh_tokens.ListRobotRefreshTokens(of_robot)).refresh_tokens
        request = pb.RevokeRobotRefreshTokenRequest(robot_id=robot.id, refresh_token_id=found.id)
        # A maintainer may read robots, and not change them.
        assert (await bob.refresh_tokens.ListRobotRefreshTokens(of_robot)).refresh_tokens == [found]
        with pytest.raises(Denied):
            await bob.refresh_tokens.RevokeRobotRefreshToken(request)
        # Nor is it a token of a user of the same id.
        with pytest.raises(NotFound):
            await revoke(authsvc.admin, authsvc.admin.id, found.id)
        assert not await is_dead(authsvc, token)
        await alice.refresh_tokens.RevokeRobotRefreshToken(request)
        assert await is_dead(authsvc, token)


class TestGuessing:
    @pytest.fixture
    def waits(self) -> list[float]:
        """How long each refusal and each check had to wait."""
        return []

    @pytest.fixture
    def login(self, authsvc: AuthService, waits: list[float]) -> RefreshLogin:
        """What takes refresh tokens, on the real store, with a clock of waits."""

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        return RefreshLogin(
            authsvc.store,
            authsvc.ports.refresh_token_texts,
            Attempts(1.0, 8.0, sleep=sleep),
            VerifiedSecrets(60),
            authsvc.clock,
            authsvc.ports.rules.refresh_tokens,
            observe=lambda _: None,
        )

    async def test_an_address_that_guesses_waits_longer_and_longer(
        self, authsvc: AuthService, alice: Caller, login: RefreshLogin, waits: list[float]
    ) -> None:
        for number in range(15):
            with pytest.raises(Unauthenticated):
                await login.log_in(PresentedToken(f"rsr_guess-{number}", "docker"), "192.0.2.1")
        assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]

        # Others do not wait, nor does a token at this address that was good a moment ago.
        good = PresentedToken(await authsvc.refresh_token("alice"), "docker")
        waits.clear()
        await login.log_in(good, "192.0.2.2")
        await login.log_in(good, "192.0.2.1")
        assert waits == []
        # One that was not, waits, because it might be a guess.
        await login.log_in(PresentedToken(await authsvc.refresh_token("alice"), "docker"), "192.0.2.1")
        assert waits == [8.0]

    async def test_the_same_dead_token_waits_sooner(self, login: RefreshLogin, waits: list[float]) -> None:
        for _ in range(4):
            with pytest.raises(Unauthenticated):
                await login.log_in(PresentedToken("rsr_dead", "docker"), "192.0.2.1")
        assert waits == [1.0, 2.0, 4.0]

    async def test_guesses_of_passwords_and_of_tokens_are_counted_together(
        self, authsvc: AuthService, alice: Caller, other_folder: Path
    ) -> None:
        async with serving(authsvc.store, other_folder, failure_delay_seconds=0.2) as slowed:
            for number in range(10):
                with pytest.raises(Unauthenticated):
                    await slowed.log_in(f"nobody-{number}", "wrong")
            begin = time.monotonic()
            assert await is_dead(slowed, "rsr_guess")
            assert time.monotonic() - begin >= 0.2


class TestWhatOperatorsSee:
    async def test_logs_say_what_happened_and_never_hold_a_token(self, authsvc: AuthService, alice: Caller) -> None:
        with structlog.testing.capture_logs() as log:
            token = await authsvc.refresh_token("alice", client_id="ci")
            await is_dead(authsvc, token, "thief")
            await is_dead(authsvc, "rsr_unknown")
            [found] = await listed(alice)
            await revoke(alice, alice.id, found.id)
        events = {line["event"]: line for line in log}
        assert events["refresh_token_created"]["refresh_token_id"] == found.id
        assert events["refresh_token_created"]["subject"] == f"user:{alice.id}"
        assert events["refresh_token_revoked"]["refresh_token_id"] == found.id
        refused = [line for line in log if line["event"] == "refresh_token_refused"]
        assert [(line["reason"], line["refresh_token_id"], line["subject"], line["client_id"]) for line in refused] == [
            ("client", found.id, f"user:{alice.id}", "thief"),
            ("unknown", None, None, "docker"),
        ]
        assert token not in str(log)

    async def test_tokens_are_counted(self, authsvc: AuthService, alice: Caller) -> None:
        def counts() -> dict[str, float]:
            return {
                event: authsvc.metrics.registry.get_sample_value("authsvc_refresh_tokens_total", {"event": event}) or 0
                for event in ("created", "used", "refused", "revoked")
            }

        token = await authsvc.refresh_token("alice")
        for _ in range(3):
            await authsvc.exchange(token)
        await is_dead(authsvc, "rsr_unknown")
        await is_dead(authsvc, token, "thief")
        [found] = await listed(alice)
        await revoke(alice, alice.id, found.id)
        assert counts() == {"created": 1, "used": 3, "refused": 2, "revoked": 1}
