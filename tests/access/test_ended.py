"""Users and robots that may not log in any more, with the tokens that they have from before: every RPC refuses them.

That of a robot that has expired by itself still pulls until it expires, too; test_uploads.py has what it does not open.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.access.callers import ROBOTS
from tests.access.logins import Tokens, identity_tokens, make_robot, registry_tokens
from tests.access.matrix import ROBOT_IN_PROJECT
from tests.access.rights import REFUSALS, RIGHTS, RPCS
from tests.access.world import World
from tests.harness.installation import Installation
from tests.harness.plain_http import ANSWER_SECONDS
from tests.harness.waiting import wait_until
from tests.harness.workspace import PROJECT_ADMIN, Login

KNOWN_SECONDS = 5.0
ELSEWHERE = "127.0.0.17"
LIVES_SECONDS = 5
EVERYTHING = ROBOTS["robot with everything"]
# What looks at no identity token: it makes tokens, or is the same for everybody.
UNSEEING = {
    name
    for name in RIGHTS
    if name.startswith(("auth.v1.TokenService/", "meta.v1.IconService/", "auth.v1.RefreshTokenService/Create"))
}

End = Callable[[World], None]


@dataclass(frozen=True)
class Ended:
    """A caller that was everything in the private project, and has ended.

    Attributes:
        login: its name and secret.
        identity: its identity token, from before.
        registry: its registry token, from before.
    """

    login: Login
    identity: Tokens
    registry: Tokens


def _robot(world: World) -> tuple[Login, int]:
    login = make_robot(world.management, EVERYTHING, world.projects["private"], "", world.management.admin)
    query = {"q": f"Level=project,ProjectID={world.project_ids['private']},name={login.name.rpartition('+')[2]}"}
    (found,) = world.management.client.get("/robots", params=query).raise_for_status().json()
    return login, found["id"]


def _user(world: World) -> tuple[Login, int]:
    login = world.management.create_user()
    world.management.add_member(world.projects["private"], login, PROJECT_ADMIN)
    (found,) = world.management.client.get("/users", params={"q": f"username={login.name}"}).raise_for_status().json()
    return login, found["user_id"]


def disabled_robot(world: World) -> tuple[Login, End]:
    login, robot_id = _robot(world)

    def end(world: World) -> None:
        robot = world.management.client.get(f"/robots/{robot_id}").raise_for_status().json()
        world.management.client.put(f"/robots/{robot_id}", json={**robot, "disable": True}).raise_for_status()

    return login, end


def deleted_robot(world: World) -> tuple[Login, End]:
    login, robot_id = _robot(world)
    return login, lambda world: world.delete(f"/robots/{robot_id}")


def expired_robot(world: World) -> tuple[Login, End]:
    project_id = world.project_ids["private"]
    expires = int(time.time()) + LIVES_SECONDS
    body = {
        "name": f"r{secrets.token_hex(5)}",
        "expires_at": expires,
        "access": [
            {"resource": f"/project/{project_id}/{resource}", "action": action}
            for resource, action in sorted(ROBOT_IN_PROJECT)
        ],
    }
    created = world.management.client.post(f"/projects/{project_id}/robots", json=body).raise_for_status().json()

    def end(_: World) -> None:
        wait_until(time.time, "the robot to expire", wanted=lambda now: now > expires)

    return Login(created["name"], created["secret"]), end


def disabled_user(world: World) -> tuple[Login, End]:
    login, user_id = _user(world)

    def end(world: World) -> None:
        rpc = RPCS["auth.v1.UserService/SetUserDisabled"]
        request = rpc.request_class(user_id=user_id, disabled=True)
        assert rpc.call(world.channels["authsvc"], request, world.identity["sysadmin/private"]) == "OK"

    return login, end


def deleted_user(world: World) -> tuple[Login, End]:
    login, user_id = _user(world)
    return login, lambda world: world.delete(f"/users/{user_id}")


@pytest.fixture(
    scope="module",
    params=[disabled_robot, deleted_robot, expired_robot, disabled_user, deleted_user],
    ids=lambda make: make.__name__,
)
def ended(world: World, request: pytest.FixtureRequest) -> Ended:
    """A caller that had its rights, and has lost them less than five seconds ago."""
    login, end = request.param(world)
    logins = {f"ended/{kind}": login for kind in world.projects}
    caller = Ended(
        login,
        identity_tokens(world.channels["authsvc"], logins),
        registry_tokens(world.channels["authsvc"], logins, world.projects),
    )
    artifacts, manifest = RPCS["meta.v1.ArtifactService/ListArtifacts"], RPCS["meta.v1.ManifestService/ResolveManifest"]

    def lists() -> str:
        return artifacts.call(
            world.channels["metasvc"], world.request(artifacts, "private"), caller.identity["ended/private"]
        )

    pull = manifest.request_class(repository=f"{world.projects['private']}/app", reference="v1")
    for kind in world.projects:
        assert caller.identity[f"ended/{kind}"]
    assert manifest.call(world.channels["metasvc"], pull, caller.registry["ended/private"]) == "OK"
    assert lists() not in REFUSALS
    end(world)
    began = time.monotonic()
    wait_until(lists, "metasvc to refuse", wanted=lambda reason: reason == "UNAUTHORIZED")
    assert time.monotonic() - began < KNOWN_SECONDS
    return caller


def test_no_rpc_lets_it_in(world: World, ended: Ended) -> None:
    heard = {
        (name, kind): RPCS[name].call(
            world.channels[RPCS[name].server], world.request(RPCS[name], kind), ended.identity[f"ended/{kind}"]
        )
        for name in sorted(set(RIGHTS) - UNSEEING)
        for kind in world.projects
    }

    assert not {at: reason for at, reason in heard.items() if reason not in REFUSALS}


def test_its_registry_token_opens_nothing_of_the_management(world: World, ended: Ended) -> None:
    managed = [name for name in RIGHTS if name.startswith(("auth.", "meta."))]
    # What is public takes it for the token of an anonymous caller.
    shut = [
        name for name in managed if RIGHTS[name].kind != "public" and not RIGHTS[name].needed.startswith("repository:")
    ]
    heard = {
        name: RPCS[name].call(
            world.channels[RPCS[name].server], world.request(RPCS[name], "private"), ended.registry["ended/private"]
        )
        for name in shut
    }

    assert not {name: reason for name, reason in heard.items() if reason not in REFUSALS}


def test_over_http_its_secret_is_a_wrong_one(installation: Installation, world: World, ended: Ended) -> None:
    project = world.projects["public"]
    # Of another address than the other tests: after a few failures, all attempts of one address wait.
    transport = httpx.HTTPTransport(local_address=ELSEWHERE)
    with httpx.Client(
        base_url=installation.http_url, auth=ended.login.basic, transport=transport, timeout=ANSWER_SECONDS
    ) as client:
        for path in (
            f"/api/v2.0/projects/{project}",
            f"/service/token?service=harbor-registry&scope=repository:{project}/app:pull",
        ):
            assert client.get(path).status_code == httpx.codes.UNAUTHORIZED, path
