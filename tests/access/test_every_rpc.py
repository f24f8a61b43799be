"""Every RPC of every contract, called by every kind of caller: admitted or refused as in rpcs.toml and matrix.toml.

Both tables are written by hand. For calls that change something, the request names things that do not exist. An
admitted caller learns that; a refused caller does not. `test_services.py` has the calls by services.
"""

import pytest

from roadstead.access.v1 import rule_pb2
from tests.access.callers import EVERY_CALLER
from tests.access.rights import REFUSALS, RIGHTS, RPCS, may
from tests.access.world import World
from tests.harness import plain_http
from tests.harness.contracts import OK


def test_every_rpc_has_a_rule_and_a_line_in_the_table() -> None:
    assert set(RPCS) == set(RIGHTS)
    without = [name for name, rpc in RPCS.items() if not rpc.method.GetOptions().HasExtension(rule_pb2.rule)]
    assert not without


@pytest.mark.parametrize("name", RIGHTS)
def test_who_is_let_in(world: World, name: str) -> None:
    rpc, right = RPCS[name], RIGHTS[name]
    # blobsvc accepts registry tokens only. It calls no other service, so an identity token gives no rights there.
    tokens = world.registry if rpc.server == "blobsvc" else world.identity

    heard: dict[tuple[str, str], str] = {}
    for kind in world.projects:
        for caller in EVERY_CALLER:
            request = world.request(rpc, kind)
            heard[caller, kind] = reason = rpc.call(world.channels[rpc.server], request, tokens[f"{caller}/{kind}"])
            if reason == OK and rpc.method.name.startswith("Delete"):
                world.forget(rpc, kind)

    wrong = {at: reason for at, reason in heard.items() if (reason not in REFUSALS) != may(*at, right)}
    assert not wrong
    assert not [reason for reason in heard.values() if "INTERNAL" in reason]


@pytest.mark.parametrize("name", [name for name in RIGHTS if name.startswith("meta.v1.")])
def test_a_registry_token_opens_its_repository_and_nothing_else(world: World, name: str) -> None:
    rpc, right = RPCS[name], RIGHTS[name]
    by_token = right.kind == "project" and right.needed in ("repository:pull", "repository:push", "repository:delete")
    # A stream names the repository in its header.
    header = rpc.method.input_type.fields_by_name.get("header")
    named_in = rpc.method.input_type if header is None else header.message_type
    in_the_registry = named_in is not None and "repository" in named_in.fields_by_name
    request = world.request(rpc, "private")

    heard = {
        caller: rpc.call(world.channels["metasvc"], request, world.registry[f"{caller}/private"])
        for caller in EVERY_CALLER
    }

    opens = {
        caller: right.kind == "public" or (by_token and in_the_registry and may(caller, "private", right))
        for caller in EVERY_CALLER
    }
    assert {caller: reason not in REFUSALS for caller, reason in heard.items()} == opens, heard


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
