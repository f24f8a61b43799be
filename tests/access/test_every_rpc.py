"""Every RPC of every contract, called by every kind of caller: admitted or refused as in rpcs.toml and matrix.toml.

Both tables are written by hand. For calls that change something, the request names things that do not exist. An
admitted caller learns that; a refused caller does not. `test_services.py` has the calls by services.
"""

import pytest

from roadstead.access.v1 import rule_pb2
from tests.access.rights import CALLERS, DEAD_ROBOTS, REFUSALS, RIGHTS, RPCS, may
from tests.access.world import World
from tests.harness import plain_http

# blobsvc takes an identity token from nobody.
TAKING_IDENTITIES = [
    name for name, right in RIGHTS.items() if right.kind not in ("public", "holder") and RPCS[name].server != "blobsvc"
]


def test_every_rpc_has_a_rule_and_a_line_in_the_table() -> None:
    assert set(RPCS) == set(RIGHTS)
    without = [name for name, rpc in RPCS.items() if not rpc.method.GetOptions().HasExtension(rule_pb2.rule)]
    assert not without


@pytest.mark.parametrize("kind", ["private", "public"])
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", RIGHTS)
def test_who_is_let_in(world: World, name: str, caller: str, kind: str) -> None:
    rpc = RPCS[name]
    # blobsvc accepts registry tokens only. It calls no other service, so an identity token gives no rights there.
    held = world.registry if rpc.server == "blobsvc" else world.identity

    reason = rpc.call(world.channels[rpc.server], world.request(rpc, kind), held[f"{caller}/{kind}"])

    assert (reason not in REFUSALS) == may(caller, kind, RIGHTS[name]), reason
    assert "INTERNAL" not in reason


@pytest.mark.parametrize("kind", ["private", "public"])
@pytest.mark.parametrize("robot", DEAD_ROBOTS)
@pytest.mark.parametrize("name", TAKING_IDENTITIES)
def test_a_robot_that_is_disabled_or_expired_is_let_in_nowhere(world: World, name: str, robot: str, kind: str) -> None:
    rpc = RPCS[name]

    reason = rpc.call(world.channels[rpc.server], world.request(rpc, kind), world.identity[robot])

    assert reason in REFUSALS


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", [name for name in RIGHTS if name.startswith("meta.v1.")])
def test_a_registry_token_opens_its_repository_and_nothing_else(world: World, name: str, caller: str) -> None:
    rpc = RPCS[name]
    right = RIGHTS[name]
    by_token = right.kind == "project" and right.needed in ("repository:pull", "repository:push", "repository:delete")
    # A stream names the repository in its header.
    header = rpc.method.input_type.fields_by_name.get("header")
    named_in = rpc.method.input_type if header is None else header.message_type
    in_the_registry = named_in is not None and "repository" in named_in.fields_by_name

    reason = rpc.call(world.channels["metasvc"], world.request(rpc, "private"), world.registry[f"{caller}/private"])

    opened = right.kind == "public" or (by_token and in_the_registry and may(caller, "private", right))
    assert (reason not in REFUSALS) == opened, reason


@pytest.mark.parametrize("name", [name for name, right in RIGHTS.items() if right.kind == "self"])
def test_everybody_may_look_after_themselves(world: World, name: str) -> None:
    rpc = RPCS[name]
    current = plain_http.get(
        f"{world.management.client.base_url}users/current",
        auth=world.outsider.basic,
    ).json()
    request = rpc.request_class(user_id=current["user_id"])
    if "old_password" in rpc.method.input_type.fields_by_name:
        # A wrong one is refused as well.
        request.MergeFrom(rpc.request_class(old_password=world.outsider.secret))

    assert rpc.call(world.channels["authsvc"], request, world.identity["outsider/private"]) not in REFUSALS
