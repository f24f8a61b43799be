import pytest

from authsvc.domain.token import PasswordCredentials, Scope, parse_scopes
from svckit.errors import Invalid


@pytest.mark.parametrize(
    "text, scope",
    [
        ("repository:library/nginx:pull", Scope("repository", "library/nginx", frozenset({"pull"}))),
        ("repository:library/nginx:pull,push", Scope("repository", "library/nginx", frozenset({"pull", "push"}))),
        ("repository(plugin):a/b:pull", Scope("repository", "a/b", frozenset({"pull"}))),
        ("registry:catalog:*", Scope("registry", "catalog", frozenset({"*"}))),
        ("repository:host:5000/a/b:pull", Scope("repository", "host:5000/a/b", frozenset({"pull"}))),
        ("repository:a/b:pull,,pull", Scope("repository", "a/b", frozenset({"pull"}))),
    ],
)
def test_reads_a_scope(text: str, scope: Scope) -> None:
    assert parse_scopes([text]) == [scope]


@pytest.mark.parametrize(
    "text",
    ["", "   ", "repository", "repository:a/b", "repository:a/b:", ":a/b:pull", "repository::pull", "re-po:a:pull"],
)
def test_what_is_not_understood_asks_for_nothing(text: str) -> None:
    assert parse_scopes([text]) == []


def test_a_resource_that_is_named_twice_is_asked_for_once_with_all_actions() -> None:
    assert parse_scopes(["repository:a/b:pull repository:c/d:push", "repository:a/b:push"]) == [
        Scope("repository", "a/b", frozenset({"pull", "push"})),
        Scope("repository", "c/d", frozenset({"push"})),
    ]


def test_a_scope_of_enormous_length_asks_for_nothing() -> None:
    assert parse_scopes(["repository:" + "a" * 2000 + ":pull"]) == []


def test_there_are_a_hundred_at_most() -> None:
    scopes = [f"repository:a/{number}:pull" for number in range(100)]
    assert len(parse_scopes([" ".join(scopes)])) == 100
    with pytest.raises(Invalid):
        parse_scopes([*scopes, "repository:a/b:pull"])


def test_credentials_do_not_show_their_secret() -> None:
    assert "s3cret" not in repr(PasswordCredentials("alice", "s3cret"))
