"""Every RPC of every contract, called by every service: for itself, and for the anonymous caller.

rpcs.toml, written by hand, says who is admitted.
"""

import pytest

from svckit.services import NAMES
from tests.access.matrix import MATRIX, PUBLIC
from tests.access.rights import REFUSALS, RIGHTS, RPCS, Right
from tests.access.world import World

SERVICES = sorted(NAMES)
# A rule of one of the others names nobody: see the head of the table.
NAME_SERVICES = ("project", "either", "system", "self", "filtered")


def may_act(service: str, right: Right) -> bool:
    """Whether the table lets a service act for itself."""
    if right.kind == "public":
        return True
    # The gateway must not sign acting tokens, so its token is forged and is refused.
    if service == "gateway":
        return False
    return service in right.acting or service in right.callers


def may_pass_on(service: str, kind: str, right: Right) -> bool:
    """Whether the table lets a service pass on a call without a caller's token: as the anonymous caller, or by name."""
    if right.kind == "project":
        return kind == "public" and right.permission in MATRIX[PUBLIC]
    return right.kind in ("public", "filtered") or service in right.callers


def test_all_services_are_asked() -> None:
    assert set(SERVICES) == {"gateway", "authsvc", "metasvc", "blobsvc", "jobsvc", "worker"}


def test_the_table_names_services_where_a_rule_can() -> None:
    for name, right in RIGHTS.items():
        assert right.acting <= set(SERVICES) - {"gateway"}, name
        assert right.kind in NAME_SERVICES or not right.acting, name


@pytest.mark.parametrize("name", RIGHTS)
def test_which_services_may_act_for_themselves(world: World, name: str) -> None:
    rpc, right = RPCS[name], RIGHTS[name]

    heard = {
        (service, kind): rpc.call(
            world.channels[rpc.server], world.request(rpc, kind), world.acting(service, rpc.server)
        )
        for service in SERVICES
        for kind in world.projects
    }

    let_in = {caller: reason not in REFUSALS for caller, reason in heard.items()}
    assert let_in == {(service, kind): may_act(service, right) for service, kind in heard}, heard
    assert not [reason for reason in heard.values() if "INTERNAL" in reason]


@pytest.mark.parametrize("name", RIGHTS)
def test_without_the_marker_a_service_passes_on_an_anonymous_call(world: World, name: str) -> None:
    rpc, right = RPCS[name], RIGHTS[name]

    heard = {
        (service, kind): rpc.call(world.channels[rpc.server], world.request(rpc, kind), world.passing_on(service))
        for service in SERVICES
        for kind in world.projects
    }

    let_in = {caller: reason not in REFUSALS for caller, reason in heard.items()}
    assert let_in == {(service, kind): may_pass_on(service, kind, right) for service, kind in heard}, heard


@pytest.mark.parametrize("name", RIGHTS)
def test_the_marker_comes_with_no_other_token(world: World, name: str) -> None:
    rpc = RPCS[name]
    acting = world.acting("metasvc", rpc.server)
    caller = (world.registry if rpc.server == "blobsvc" else world.identity)["sysadmin/private"]

    for beside in (caller, world.passing_on("metasvc"), world.passing_on("gateway")):
        reason = rpc.call(world.channels[rpc.server], world.request(rpc, "private"), {**beside, **acting})
        assert reason == "BAD_REQUEST"
