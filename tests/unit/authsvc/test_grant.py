"""What grants come to, and whether one robot's are more than another's."""

import pytest

from authsvc.domain.grant import (
    EVERY_PROJECT,
    MAXIMUM_ACCESSES,
    SYSTEM,
    Access,
    AskedGrant,
    Effect,
    Grant,
    Kind,
    Scope,
    exceeding,
    held_in,
    merge_asked,
)
from authsvc.domain.permission import ROBOT_PROJECT_PERMISSIONS, SYSTEM_PERMISSIONS, Permission
from svckit.errors import Invalid

PULL = Permission("repository", "pull")
PUSH = Permission("repository", "push")
LABEL = Permission("label", "create")
ONE, TWO = Scope("project", 1), Scope("project", 2)


def accesses(*permissions: Permission, effect: Effect = "") -> frozenset[Access]:
    return frozenset(Access(permission, effect) for permission in permissions)


def grant(scope: Scope, *permissions: Permission, effect: Effect = "") -> Grant:
    return Grant(scope, str(scope.project_id), accesses(*permissions, effect=effect))


def test_what_is_given_for_every_project_is_held_in_each() -> None:
    grants = [grant(EVERY_PROJECT, PULL), grant(ONE, PUSH, effect="allow"), grant(SYSTEM, LABEL)]
    assert held_in(grants, ONE) == {PULL, PUSH}
    assert held_in(grants, TWO) == held_in(grants, EVERY_PROJECT) == {PULL}
    assert held_in(grants, SYSTEM) == {LABEL}


def test_what_is_denied_is_not_held_whatever_gives_it() -> None:
    in_one = [grant(EVERY_PROJECT, PULL, PUSH), grant(ONE, PULL), grant(ONE, PULL, effect="deny")]
    assert held_in(in_one, ONE) == {PUSH}
    assert held_in(in_one, TWO) == {PULL, PUSH}
    everywhere = [grant(EVERY_PROJECT, PULL, effect="deny"), grant(ONE, PULL, PUSH)]
    assert held_in(everywhere, ONE) == {PUSH}
    assert held_in([grant(SYSTEM, LABEL, effect="deny"), grant(ONE, LABEL)], ONE) == {LABEL}


@pytest.mark.parametrize(
    ("wanted", "held", "missing"),
    [
        ([grant(ONE, PULL)], [grant(ONE, PULL, PUSH)], set()),
        ([grant(ONE, PULL, PUSH)], [grant(ONE, PULL)], {PUSH}),
        ([grant(TWO, PULL)], [grant(ONE, PULL)], {PULL}),
        ([grant(TWO, PULL)], [grant(EVERY_PROJECT, PULL)], set()),
        ([grant(EVERY_PROJECT, PULL)], [grant(ONE, PULL), grant(TWO, PULL)], {PULL}),
        ([grant(SYSTEM, LABEL)], [grant(EVERY_PROJECT, LABEL), grant(ONE, LABEL)], {LABEL}),
        ([grant(ONE, LABEL)], [grant(SYSTEM, LABEL)], {LABEL}),
        ([grant(ONE, PULL)], [], {PULL}),
        # A grant for every project must not give back what is denied in one.
        ([grant(EVERY_PROJECT, PULL)], [grant(EVERY_PROJECT, PULL), grant(ONE, PULL, effect="deny")], {PULL}),
        (
            [grant(EVERY_PROJECT, PULL), grant(ONE, PULL, effect="deny")],
            [grant(EVERY_PROJECT, PULL), grant(ONE, PULL, effect="deny")],
            set(),
        ),
        ([grant(ONE, PULL, effect="deny")], [], set()),
    ],
)
def test_nothing_exceeds_but_what_is_not_held(wanted: list[Grant], held: list[Grant], missing: set[Permission]) -> None:
    assert exceeding(wanted, held) == missing


@pytest.mark.parametrize(
    ("kind", "namespace", "permission", "text"),
    [
        ("project", "team", Permission("user", "create"), "bad request permission: user:create"),
        ("project", "*", Permission("*", "*"), "bad request permission: \\*:\\*"),
        ("project", "*", Permission("robot", "update"), "bad request permission: robot:update"),
        ("system", "/", PULL, "bad request permission: repository:pull"),
        ("system", "/", Permission("caf\u00e9", "\n"), r"bad request permission: caf\\xe9:\\n"),
        ("system", "team", Permission("catalog", "read"), "unknown namespace"),
        ("system", "*", Permission("catalog", "read"), "unknown namespace"),
        ("project", "/", PULL, "unknown namespace"),
        ("project", "", PULL, "unknown namespace"),
    ],
)
def test_a_grant_is_of_its_kinds_catalogue(kind: Kind, namespace: str, permission: Permission, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        AskedGrant(kind, namespace, accesses(permission))


def test_every_permission_of_a_catalogue_can_be_given() -> None:
    AskedGrant("project", "*", accesses(*ROBOT_PROJECT_PERMISSIONS))
    AskedGrant("system", "/", accesses(*SYSTEM_PERMISSIONS))
    with pytest.raises(Invalid, match="empty access"):
        AskedGrant("project", "*", frozenset())


def test_grants_of_one_scope_are_merged_and_bounded() -> None:
    merged = merge_asked(
        [
            AskedGrant("project", "team", accesses(PULL)),
            AskedGrant("system", "/", accesses(LABEL)),
            AskedGrant("project", "team", accesses(PUSH)),
        ]
    )
    assert merged == (AskedGrant("project", "team", accesses(PULL, PUSH)), AskedGrant("system", "/", accesses(LABEL)))
    with pytest.raises(Invalid, match="empty permission"):
        merge_asked([])
    most = MAXIMUM_ACCESSES // len(ROBOT_PROJECT_PERMISSIONS)
    merge_asked(AskedGrant("project", f"p{number}", accesses(*ROBOT_PROJECT_PERMISSIONS)) for number in range(most))
    with pytest.raises(Invalid, match="at most"):
        merge_asked(
            AskedGrant("project", f"p{number}", accesses(*ROBOT_PROJECT_PERMISSIONS)) for number in range(most + 1)
        )
