import asyncio

import pytest

from roadstead.auth.v1 import user_service_pb2 as pb
from svckit.errors import Conflict, Denied, DomainError, Invalid, NotFound, Precondition, Unauthenticated
from tests.harness.authsvc import PASSWORD, AuthService, Caller


def new(username: str = "alice", password: str = PASSWORD, **fields: str) -> pb.CreateUserRequest:
    named = {"email": f"{username}@example.org", "realname": "Some Body", **fields}
    return pb.CreateUserRequest(username=username, password=password, **named)


async def test_a_created_user_can_log_in_and_reads_itself(authsvc: AuthService) -> None:
    created = await authsvc.admin.users.CreateUser(new(email="alice@example.org", realname="Alice", comment="first"))
    alice = await authsvc.log_in("alice", PASSWORD)
    current = (await alice.users.GetCurrentUser(pb.GetCurrentUserRequest())).user
    assert current == created.user
    assert (current.username, current.email, current.realname, current.comment) == (
        "alice",
        "alice@example.org",
        "Alice",
        "first",
    )
    assert not current.administrator
    assert current.create_time == current.update_time
    assert (await alice.users.GetUser(pb.GetUserRequest(user_id=current.id))).user == current


async def test_names_and_mail_addresses_are_taken_once(authsvc: AuthService) -> None:
    await authsvc.admin.users.CreateUser(new(email="a@example.org"))
    for request in (new(email="b@example.org"), new("bob", email="a@example.org")):
        with pytest.raises(Conflict):
            await authsvc.admin.users.CreateUser(request)
    await authsvc.admin.users.CreateUser(new("carol"))
    await authsvc.admin.users.CreateUser(new("dave"))
    bob = await authsvc.user("bob")
    with pytest.raises(Conflict):
        await bob.users.UpdateUser(pb.UpdateUserRequest(user_id=bob.id, email="a@example.org"))


async def test_a_deleted_users_name_may_be_given_again_and_its_id_not(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await authsvc.admin.users.DeleteUser(pb.DeleteUserRequest(user_id=alice.id))
    with pytest.raises(Unauthenticated):
        await alice.users.GetCurrentUser(pb.GetCurrentUserRequest())
    again = await authsvc.user("alice")
    assert again.id > alice.id
    # The old token names the old user.
    with pytest.raises(Unauthenticated):
        await alice.users.GetCurrentUser(pb.GetCurrentUserRequest())


async def test_a_repeated_create_answers_as_the_first_did(authsvc: AuthService) -> None:
    request = new(idempotency_key="once")
    answers = await asyncio.gather(*(authsvc.admin.users.CreateUser(request) for _ in range(4)))
    assert {answer.user.id for answer in answers} == {answers[0].user.id}
    with pytest.raises(Conflict):
        await authsvc.admin.users.CreateUser(new("bob", idempotency_key="once"))
    await authsvc.admin.users.DeleteUser(pb.DeleteUserRequest(user_id=answers[0].user.id))
    with pytest.raises(Conflict):
        await authsvc.admin.users.CreateUser(request)


@pytest.mark.parametrize(
    "request_",
    [
        new(""),
        new("a" * 256),
        new("a,b"),
        new('a"b'),
        new("a~b"),
        new("a#b"),
        new("a%b"),
        new("a$b"),
        new("a:b"),
        new("a\nb"),
        new(" alice"),
        new("robot$library+x"),
        new(password="Sh0rt"),
        new(password="no-upper-case-1"),
        new(password="NO-LOWER-CASE-1"),
        new(password="No-digit-at-all"),
        new(password="A1a" * 50),
        new(email=""),
        new(email="nobody"),
        new(email="nobody@example"),
        new(email="a b@example.org"),
        new(email="a@example.org\n"),
        new(email="a..b@example.org"),
        new(realname=""),
        new(realname="a" * 256),
        new(realname="a,b"),
        new(realname='The "Boss"'),
        new(realname="100%"),
        new(comment="a" * 31),
        new(idempotency_key="a" * 129),
    ],
)
async def test_what_breaks_a_rule_is_refused(authsvc: AuthService, request_: pb.CreateUserRequest) -> None:
    with pytest.raises(Invalid) as caught:
        await authsvc.admin.users.CreateUser(request_)
    assert request_.password not in str(caught.value)
    assert caught.value.violations


async def test_only_administrators_create_list_and_delete(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    for call in (
        alice.users.CreateUser(new("carol")),
        alice.users.ListUsers(pb.ListUsersRequest()),
        alice.users.DeleteUser(pb.DeleteUserRequest(user_id=bob.id)),
        alice.users.SetUserDisabled(pb.SetUserDisabledRequest(user_id=bob.id, disabled=True)),
        alice.users.SetUserAdministrator(pb.SetUserAdministratorRequest(user_id=alice.id, administrator=True)),
        alice.users.GetUser(pb.GetUserRequest(user_id=bob.id)),
        alice.users.UpdateUser(pb.UpdateUserRequest(user_id=bob.id, comment="x")),
        alice.users.ChangeUserPassword(pb.ChangeUserPasswordRequest(user_id=bob.id, new_password=PASSWORD)),
    ):
        with pytest.raises(Denied):
            await call
    for call in (
        authsvc.anonymous.users.GetCurrentUser(pb.GetCurrentUserRequest()),
        authsvc.anonymous.users.CreateUser(new("carol")),
        authsvc.anonymous.users.GetUser(pb.GetUserRequest(user_id=bob.id)),
    ):
        with pytest.raises(Unauthenticated):
            await call


async def test_a_profile_is_changed_field_by_field(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    await alice.users.UpdateUser(pb.UpdateUserRequest(user_id=alice.id, realname="Alice"))
    user = (await authsvc.admin.users.UpdateUser(pb.UpdateUserRequest(user_id=alice.id, email="al@example.org"))).user
    assert (user.realname, user.email, user.username) == ("Alice", "al@example.org", "alice")
    refused = [{"email": "nobody"}, {"email": ""}, {"realname": ""}, {"comment": "c" * 31}]
    for change in [*refused, *({"realname": f"a{character}b"} for character in ',"~#%$')]:
        with pytest.raises(Invalid):
            await alice.users.UpdateUser(pb.UpdateUserRequest(user_id=alice.id, **change))
    with pytest.raises(NotFound):
        await authsvc.admin.users.UpdateUser(pb.UpdateUserRequest(user_id=999, email="al@example.org"))


async def test_a_disabled_user_neither_logs_in_nor_goes_on(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    answer = await authsvc.admin.users.SetUserDisabled(pb.SetUserDisabledRequest(user_id=alice.id, disabled=True))
    assert answer.user.disabled
    with pytest.raises(Unauthenticated):
        await authsvc.log_in("alice", PASSWORD)
    with pytest.raises(Unauthenticated):
        await alice.users.GetCurrentUser(pb.GetCurrentUserRequest())
    with pytest.raises(Unauthenticated):
        await alice.make_project("alices")
    with pytest.raises(Unauthenticated):
        await alice.registry_token("repository:library/nginx:pull")
    with pytest.raises(Invalid) as refused:
        await authsvc.admin.users.SetUserDisabled(pb.SetUserDisabledRequest(user_id=alice.id))
    assert [violation.field for violation in refused.value.violations] == ["disabled"]
    await authsvc.admin.users.SetUserDisabled(pb.SetUserDisabledRequest(user_id=alice.id, disabled=False))
    await authsvc.log_in("alice", PASSWORD)


async def test_a_right_that_was_taken_counts_at_once_whatever_the_token_says(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")

    async def set_administrator(administrator: bool) -> None:
        await authsvc.admin.users.SetUserAdministrator(
            pb.SetUserAdministratorRequest(user_id=alice.id, administrator=administrator)
        )

    await set_administrator(True)
    # A token from before is enough to be an administrator, and one from then is not enough to stay one.
    await alice.users.ListUsers(pb.ListUsersRequest())
    privileged = await authsvc.log_in("alice", PASSWORD)
    await set_administrator(False)
    with pytest.raises(Denied):
        await privileged.users.ListUsers(pb.ListUsersRequest())
    with pytest.raises(Denied):
        await privileged.users.GetUser(pb.GetUserRequest(user_id=authsvc.admin.id))


async def test_the_last_administrator_stays(authsvc: AuthService) -> None:
    admin, alice = authsvc.admin, await authsvc.user("alice")
    with pytest.raises(Precondition):
        await admin.users.SetUserAdministrator(pb.SetUserAdministratorRequest(user_id=1, administrator=False))
    with pytest.raises(Precondition):
        await admin.users.SetUserDisabled(pb.SetUserDisabledRequest(user_id=1, disabled=True))
    await admin.users.SetUserAdministrator(pb.SetUserAdministratorRequest(user_id=alice.id, administrator=True))

    async def take_from(taker: Caller, user_id: int) -> bool:
        try:
            await taker.users.SetUserAdministrator(pb.SetUserAdministratorRequest(user_id=user_id, administrator=False))
        except DomainError:
            return False
        return True

    # Each takes the other's right at the same moment: one of them is left.
    assert sorted(await asyncio.gather(take_from(admin, alice.id), take_from(alice, 1))) == [False, True]


async def test_users_are_listed_in_pages(authsvc: AuthService) -> None:
    for name in ("carol", "bob", "alice"):
        await authsvc.admin.users.CreateUser(new(name, email=f"{name}@example.org"))

    async def listed(**fields: object) -> tuple[list[str], int, str]:
        answer = await authsvc.admin.users.ListUsers(pb.ListUsersRequest(with_total=True, **fields))  # type: ignore[arg-type]
        return [user.username for user in answer.users], answer.total_size, answer.next_page_token

    assert await listed() == (["admin", "alice", "bob", "carol"], 4, "")
    names, total, token = await listed(page_size=3)
    assert (names, total) == (["admin", "alice", "bob"], 4)
    assert await listed(page_size=3, page_token=token) == (["carol"], 4, "")
    assert await listed(page_size=3, page=2) == (["carol"], 4, "")
    assert await listed(q="username=~LIC") == (["alice"], 1, "")
    assert await listed(q="email=bob@example.org") == (["bob"], 1, "")
    assert await listed(username="LIC") == (["alice"], 1, "")
    assert await listed(email="bob@EX") == (["bob"], 1, "")
    assert await listed(username="b", email="alice") == ([], 0, "")
    assert await listed(q="realname=~some,username={bob carol}") == (["bob", "carol"], 2, "")
    assert await listed(q="sysadmin_flag=true") == (["admin"], 1, "")
    assert await listed(q="user_id=[3~],creation_time=[2026-01-01T00:00:00~]") == (["alice", "bob"], 2, "")
    # A token belongs to its filters.
    names, _, token = await listed(email="example.org", page_size=2)
    assert await listed(email="example.org", page_size=2, page_token=token) == (["carol"], 3, "")
    with pytest.raises(Invalid):
        await listed(email="example", page_size=2, page_token=token)
    assert (await listed(sort="-creation_time"))[0] == ["alice", "bob", "carol", "admin"]
    names, _, token = await listed(sort="-creation_time", page_size=2)
    assert (await listed(sort="-creation_time", page_size=2, page_token=token))[0] == ["carol", "admin"]
    assert (await listed(sort="-username,user_id", page_size=2))[0] == ["carol", "bob"]
    for sort in ("email", "-realname", "update_time"):
        names, _, token = await listed(sort=sort, page_size=3)
        assert sorted(names + (await listed(sort=sort, page_size=3, page_token=token))[0]) == sorted(
            (await listed())[0]
        )
    for fields in ({"q": "password_hash=x"}, {"sort": "password_hash"}, {"page_token": "x"}, {"page": -1}):
        with pytest.raises(Invalid):
            await listed(**fields)


async def test_permissions_of_the_caller_are_named_as_harbor_names_them(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    project_id = await alice.make_project("alices")

    async def permissions(caller: Caller, scope: str, relative: bool = False) -> set[tuple[str, str]]:
        answer = await caller.users.ListCurrentUserPermissions(
            pb.ListCurrentUserPermissionsRequest(scope=scope, relative=relative)
        )
        return {(permission.resource, permission.action) for permission in answer.permissions}

    for caller in (alice, authsvc.admin):
        assert await permissions(caller, "") == set()
    assert await permissions(alice, "/system", relative=True) == {("project", "create")}
    assert await permissions(alice, "/system") == {("/system/project", "create")}
    held = await permissions(alice, f"/project/{project_id}")
    assert (f"/project/{project_id}/repository", "push") in held
    assert (f"/project/{project_id}", "delete") in held
    assert held == await permissions(alice, "/project/alices")
    relative = await permissions(alice, "/project/alices", relative=True)
    assert {("repository", "push"), (".", "delete")} <= relative
    assert ("", "delete") not in relative
    assert (f"/project/{project_id}/repository", "push") in await permissions(authsvc.admin, "/project/alices")
    assert ("user", "create") in await permissions(authsvc.admin, "/system", relative=True)
    library = await permissions(alice, "/project/library", relative=True)
    assert ("repository", "pull") in library
    assert ("repository", "push") not in library
    bob = await authsvc.user("bob")
    for scope in ("/project/alices", "/project/nothing", "/project/999"):
        # What bob may not see looks like what is not there.
        assert await permissions(bob, scope) == set()
    for scope in ("/", "/systems", "/project/", "/project/a/b", "project/1"):
        with pytest.raises(Invalid):
            await permissions(alice, scope)


async def test_anybody_who_has_logged_in_finds_users_by_name_and_sees_no_more(authsvc: AuthService) -> None:
    await authsvc.admin.users.CreateUser(new("carol"))
    bob = await authsvc.user("bob")

    async def found(username: str, **fields: object) -> tuple[list[tuple[int, str]], int, str]:
        request = pb.SearchUsersRequest(username=username, with_total=True, **fields)  # type: ignore[arg-type]
        answer = await bob.users.SearchUsers(request)
        return [(user.id, user.username) for user in answer.users], answer.total_size, answer.next_page_token

    assert await found("O") == ([(3, "bob"), (2, "carol")], 2, "")
    first, total, token = await found("o", page_size=1)
    assert (first, total) == ([(3, "bob")], 2)
    assert await found("o", page_size=1, page_token=token) == ([(2, "carol")], 2, "")
    assert await found("o", page_size=1, page=2) == ([(2, "carol")], 2, "")
    assert await found("o_") == ([], 0, "")
    # A token of one search is none of another.
    for wrong in (found(""), found("b", page_size=1, page_token=token)):
        with pytest.raises(Invalid):
            await wrong
    with pytest.raises(Unauthenticated):
        await authsvc.anonymous.users.SearchUsers(pb.SearchUsersRequest(username="bob"))


async def test_the_first_user_and_oneself_cannot_be_deleted(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    make = pb.SetUserAdministratorRequest(user_id=alice.id, administrator=True)
    await authsvc.admin.users.SetUserAdministrator(make)
    for caller, user_id in ((authsvc.admin, 1), (alice, 1), (alice, alice.id)):
        with pytest.raises(Denied) as refused:
            await caller.users.DeleteUser(pb.DeleteUserRequest(user_id=user_id))
        assert refused.value.message == f"User with ID {user_id} cannot be deleted"
    await alice.users.DeleteUser(pb.DeleteUserRequest(user_id=bob.id))


async def test_of_creates_and_changes_at_the_same_moment_one_gets_the_name_and_the_mail_address(
    authsvc: AuthService,
) -> None:
    made = await asyncio.gather(
        *(authsvc.admin.users.CreateUser(new(email=f"alice-{number}@example.org")) for number in range(3)),
        return_exceptions=True,
    )
    assert [type(each) for each in made if isinstance(each, Exception)] == [Conflict, Conflict]
    users = [await authsvc.user(name) for name in ("bob", "carol", "dora")]
    changed = await asyncio.gather(
        *(user.users.UpdateUser(pb.UpdateUserRequest(user_id=user.id, email="one@example.org")) for user in users),
        return_exceptions=True,
    )
    assert [type(each) for each in changed if isinstance(each, Exception)] == [Conflict, Conflict]
    listed = await authsvc.admin.users.ListUsers(pb.ListUsersRequest(q="email=one@example.org"))
    assert len(listed.users) == 1
