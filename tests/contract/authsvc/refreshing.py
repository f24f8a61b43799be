"""What the tests of refresh tokens share: who has some, and whether they work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from authsvc.store.tables import refresh_token
from roadstead.auth.v1 import refresh_token_pb2, robot_pb2
from roadstead.auth.v1 import refresh_token_service_pb2 as pb
from svckit.errors import Unauthenticated
from svckit.sql.database import Database
from tests.harness.authsvc import AuthService, Caller

SECRET = "Chosen-secret-1"
SCOPE = "repository:team/a:pull,push"
ROBOT = "robot$team+ci"


@pytest.fixture
async def alice(authsvc: AuthService) -> Caller:
    """A user with a project "team"."""
    alice = await authsvc.user("alice")
    await alice.make_project("team")
    return alice


@pytest.fixture
async def robot(alice: Caller) -> robot_pb2.CreatedRobot:
    """A robot of the project that may pull and push, for a week."""
    return await alice.make_robot("team", "ci", "repository:pull", "repository:push", secret=SECRET, duration_days=7)


@pytest.fixture
def other_folder(socket_folder: Path) -> Path:
    """For another authsvc on the same store."""
    folder = socket_folder / "other"
    folder.mkdir()
    return folder


async def granted(authsvc: AuthService, token: str, *scopes: str, client_id: str = "docker") -> set[str]:
    answer = await authsvc.exchange(token, *(scopes or (SCOPE,)), client_id=client_id)
    return {action for entry in answer.access for action in entry.actions}


async def is_dead(authsvc: AuthService, token: str, client_id: str = "docker") -> bool:
    """Whether an exchange is refused. No refusal says why."""
    refused = None
    try:
        await authsvc.exchange(token, SCOPE, client_id=client_id)
    except Unauthenticated as error:
        refused = error.message
    assert refused in {None, "the refresh token is not valid; log in again"}
    return refused is not None


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.read() as conn:
        return [dict(row) for row in (await conn.execute(select(refresh_token))).mappings()]


async def listed(caller: Caller, user_id: int = 0) -> list[refresh_token_pb2.RefreshToken]:
    answer = await caller.refresh_tokens.ListUserRefreshTokens(
        pb.ListUserRefreshTokensRequest(user_id=user_id or caller.id)
    )
    return list(answer.refresh_tokens)


async def revoke(caller: Caller, user_id: int, token_id: int) -> None:
    await caller.refresh_tokens.RevokeUserRefreshToken(
        pb.RevokeUserRefreshTokenRequest(user_id=user_id, refresh_token_id=token_id)
    )
