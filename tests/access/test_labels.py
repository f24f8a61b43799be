"""Global labels: who may list, read and change them. rpcs.toml has those of projects."""

import secrets

import pytest

from roadstead.meta.v1 import label_service_pb2 as pb
from tests.access.callers import CALLERS
from tests.access.rights import RPCS
from tests.access.world import World
from tests.harness.contracts import OK

GLOBAL = "g"
SYSTEM_ROBOT = "robot of the system"
"""It holds all that a robot may do to global labels."""


@pytest.fixture
def label_id(world: World) -> int:
    created = world.management.client.post("/labels", json={"name": f"g{secrets.token_hex(6)}", "scope": GLOBAL})
    return int(created.raise_for_status().headers["Location"].rpartition("/")[2])


def answer(world: World, method: str, caller: str, request: object) -> str:
    rpc = RPCS[f"meta.v1.LabelService/{method}"]
    return rpc.call(world.channels["metasvc"], request, world.identity[f"{caller}/private"])  # type: ignore[arg-type]


@pytest.mark.parametrize("caller", [*CALLERS, SYSTEM_ROBOT])
def test_everybody_who_is_logged_in_may_list_them(world: World, caller: str) -> None:
    # A project that is named beside it does not count.
    request = pb.ListLabelsRequest(scope=GLOBAL, project_id=world.project_ids["private"])

    assert answer(world, "ListLabels", caller, request) == ("UNAUTHORIZED" if caller == "anonymous" else OK)


@pytest.mark.parametrize("caller", [*CALLERS, SYSTEM_ROBOT])
@pytest.mark.parametrize("method", ["CreateLabel", "GetLabel", "UpdateLabel", "DeleteLabel"])
def test_administrators_look_after_them(world: World, method: str, caller: str, label_id: int) -> None:
    request = {
        "CreateLabel": pb.CreateLabelRequest(name=f"g{secrets.token_hex(6)}", scope=GLOBAL),
        "GetLabel": pb.GetLabelRequest(label_id=label_id),
        "UpdateLabel": pb.UpdateLabelRequest(label_id=label_id, color="#fff"),
        "DeleteLabel": pb.DeleteLabelRequest(label_id=label_id),
    }[method]

    refusal = {"anonymous": "UNAUTHORIZED", "sysadmin": OK, SYSTEM_ROBOT: OK}.get(caller, "FORBIDDEN")

    assert answer(world, method, caller, request) == refusal


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("method", ["GetLabel", "UpdateLabel", "DeleteLabel"])
def test_nobody_learns_which_labels_a_hidden_project_has(world: World, method: str, caller: str) -> None:
    rpc = RPCS[f"meta.v1.LabelService/{method}"]
    hidden = world.request(rpc, "private")
    absent = rpc.request_class(label_id=999_999_999)

    answers = {answer(world, method, caller, request) for request in (hidden, absent)}
    if OK in answers and method == "DeleteLabel":
        world.forget(rpc, "private")

    if caller in ("anonymous", "outsider", "limitedGuest", "robot"):
        assert answers == {"UNAUTHORIZED" if caller == "anonymous" else "LABEL_UNKNOWN"}
    else:
        may = caller in ("projectAdmin", "maintainer", "sysadmin") or method == "GetLabel"
        assert answers == {OK if may else "FORBIDDEN", "LABEL_UNKNOWN"}
