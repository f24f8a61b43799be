import pytest

from authsvc.domain.permission import (
    ANYTHING,
    ROBOT_PROJECT_PERMISSIONS,
    Permission,
    lacking,
)

PULL = Permission("repository", "pull")
PUSH = Permission("repository", "push")


def test_what_is_not_held_is_lacking() -> None:
    assert lacking(frozenset({PULL}), frozenset({PULL, PUSH})) == {PUSH}
    assert lacking(frozenset(), frozenset()) == frozenset()
    assert not lacking(frozenset({ANYTHING}), frozenset({PULL, PUSH}))


def test_who_may_read_metadata_may_have_them_listed() -> None:
    listing = frozenset({Permission("metadata", "list")})
    assert not lacking(frozenset({Permission("metadata", "read")}), listing)
    assert lacking(frozenset({PULL}), listing) == listing


def test_who_may_read_the_project_may_let_others_read_its_configuration() -> None:
    reading = frozenset({Permission("configuration", "read")})
    assert not lacking(frozenset({Permission("project", "read")}), reading)
    writing = frozenset({Permission("configuration", "update")})
    assert lacking(frozenset({Permission("project", "update")}), writing) == writing


# Transcribed by hand from Harbor's table of what project robots may be given, apart from the program's own.
@pytest.mark.parametrize(
    "resource, actions",
    [
        ("log", "list"),
        ("project", "read update delete"),
        ("metadata", "create read update delete list"),
        ("repository", "read update delete list pull push"),
        ("artifact", "create read delete list"),
        ("scan", "create read stop"),
        ("sbom", "create read stop"),
        ("tag", "create delete list"),
        ("accessory", "list"),
        ("artifact-addition", "read"),
        ("artifact-label", "create delete"),
        ("scanner", "create read"),
        ("preheat-policy", "create read update delete list"),
        ("notification-policy", "create read update delete list"),
        ("label", "create read update delete list"),
        ("tag-retention", "create read update delete list"),
        ("immutable-tag", "create update delete list"),
        ("quota", "read"),
        ("robot", "create read delete list"),
        ("export-cve", "create read"),
        ("member", "create read update delete list"),
    ],
)
def test_robots_can_be_given_what_harbors_can(resource: str, actions: str) -> None:
    given = {permission.action for permission in ROBOT_PROJECT_PERMISSIONS if permission.resource == resource}
    assert given == set(actions.split())


def test_nothing_else_can_be_given_to_robots() -> None:
    assert len({permission.resource for permission in ROBOT_PROJECT_PERMISSIONS}) == 21
