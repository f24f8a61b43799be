"""What users log in with: their name or mail address, and their password."""

import pytest

from roadstead.auth.v1 import user_service_pb2 as pb
from roadstead.auth.v1.token_service_pb2 import CreateRegistryTokenRequest
from svckit.errors import Denied, Invalid, NotFound, Precondition, Unauthenticated
from tests.harness.authsvc import ADMIN_PASSWORD, PASSWORD, AuthService, credentials


async def new_user(authsvc: AuthService, username: str, email: str) -> int:
    request = pb.CreateUserRequest(username=username, password=PASSWORD, email=email, realname="Some Body")
    return int((await authsvc.admin.users.CreateUser(request)).user.id)


async def test_a_password_is_changed_with_the_old_one(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")

    def change(old: str, new_password: str) -> pb.ChangeUserPasswordRequest:
        return pb.ChangeUserPasswordRequest(user_id=alice.id, old_password=old, new_password=new_password)

    weak = (
        "the password or secret must be longer than 8 chars with at least 1 uppercase letter, 1 lowercase letter and "
        "1 number"
    )
    for request, error, text in (
        (change("Wrong-horse-1", "Other-horse-1"), Denied, "Current password is incorrect"),
        (change("", "Other-horse-1"), Denied, "Current password is incorrect"),
        # Whoever does not know the password learns nothing about the new one.
        (change("Wrong-horse-1", "short"), Denied, "Current password is incorrect"),
        (change(PASSWORD, "short"), Invalid, weak),
        (change(PASSWORD, PASSWORD), Invalid, "New password is identical to old password"),
    ):
        with pytest.raises(error) as refused:
            await alice.users.ChangeUserPassword(request)
        assert refused.value.message == text
    await alice.users.ChangeUserPassword(change(PASSWORD, "Other-horse-1"))
    with pytest.raises(Unauthenticated):
        await authsvc.log_in("alice", PASSWORD)
    await authsvc.log_in("alice", "Other-horse-1")
    # An administrator needs none for another user, and needs it for itself.
    await authsvc.admin.users.ChangeUserPassword(change("", "Third-horse-1"))
    await authsvc.log_in("alice", "Third-horse-1")
    # Nor does it hear whether the new one is the old one.
    await authsvc.admin.users.ChangeUserPassword(change("", "Third-horse-1"))
    own = pb.ChangeUserPasswordRequest(user_id=1, new_password="Other-admin-1")
    with pytest.raises(Denied):
        await authsvc.admin.users.ChangeUserPassword(own)
    own.old_password = ADMIN_PASSWORD
    await authsvc.admin.users.ChangeUserPassword(own)
    with pytest.raises(NotFound):
        await authsvc.admin.users.ChangeUserPassword(
            pb.ChangeUserPasswordRequest(user_id=999, new_password="Other-admin-1")
        )


async def test_a_caller_who_loses_its_rights_during_the_hash_changes_no_password(
    authsvc: AuthService, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")

    def give(administrator: bool) -> pb.SetUserAdministratorRequest:
        return pb.SetUserAdministratorRequest(user_id=alice.id, administrator=administrator)

    await authsvc.admin.users.SetUserAdministrator(give(True))
    alice = await authsvc.log_in("alice", PASSWORD)
    hash_ = authsvc.ports.hasher.hash

    async def hash_while_alice_resigns(password: str) -> str:
        await authsvc.admin.users.SetUserAdministrator(give(False))
        return await hash_(password)

    monkeypatch.setattr(authsvc.ports.hasher, "hash", hash_while_alice_resigns)
    with pytest.raises(Denied):
        await alice.users.ChangeUserPassword(
            pb.ChangeUserPasswordRequest(user_id=bob.id, new_password="Alices-horse-1")
        )
    await authsvc.log_in("bob", PASSWORD)


async def test_the_secret_for_command_lines_needs_another_way_to_log_in(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    request = pb.SetUserCliSecretRequest(user_id=alice.id, secret="Secret-of-alice-1")
    for caller in (alice, authsvc.admin):
        with pytest.raises(Precondition) as refused:
            await caller.users.SetUserCliSecret(request)
        assert refused.value.message == "unable to update CLI secret under authmode: db_auth"
    with pytest.raises(Denied):
        await bob.users.SetUserCliSecret(request)
    with pytest.raises(Unauthenticated):
        await authsvc.log_in("alice", "Secret-of-alice-1")


async def test_a_user_logs_in_with_the_mail_address(authsvc: AuthService) -> None:
    alice = await authsvc.user("alice")
    by_mail = await authsvc.log_in("alice@example.org", PASSWORD)
    assert by_mail.id == alice.id
    current = (await by_mail.users.GetCurrentUser(pb.GetCurrentUserRequest())).user
    assert current.username == "alice"
    # As docker does it.
    request = CreateRegistryTokenRequest(
        credentials=credentials("alice@example.org", PASSWORD), scopes=["repository:library/app:pull"]
    )
    answer = await authsvc.anonymous.tokens.CreateRegistryToken(request)
    assert [access.name for access in answer.access] == ["library/app"]
    for name, password in (
        ("alice@example.org", "Wrong-horse-1"),
        ("ALICE@example.org", PASSWORD),
        ("@example.org", PASSWORD),
        # Of the first administrator, who has no mail address.
        ("", ADMIN_PASSWORD),
    ):
        with pytest.raises(Unauthenticated):
            await authsvc.log_in(name, password)
    await authsvc.admin.users.SetUserDisabled(pb.SetUserDisabledRequest(user_id=alice.id, disabled=True))
    with pytest.raises(Unauthenticated):
        await authsvc.log_in("alice@example.org", PASSWORD)


async def test_a_name_that_is_anothers_mail_address_opens_its_own_account_only(authsvc: AuthService) -> None:
    victim = await new_user(authsvc, "alice@example.org", "a@example.org")
    thief = await authsvc.user("mallory")
    await authsvc.admin.users.ChangeUserPassword(
        pb.ChangeUserPasswordRequest(user_id=victim, new_password="Victims-horse-1")
    )
    await thief.users.UpdateUser(pb.UpdateUserRequest(user_id=thief.id, email="alice@example.org"))
    # Names win: the thief's password opens nothing under the victim's name.
    with pytest.raises(Unauthenticated):
        await authsvc.log_in("alice@example.org", PASSWORD)
    assert (await authsvc.log_in("alice@example.org", "Victims-horse-1")).id == victim
    # Neither does the name let the victim's old password be changed by the thief.
    with pytest.raises(Denied):
        await thief.users.ChangeUserPassword(
            pb.ChangeUserPasswordRequest(user_id=victim, old_password=PASSWORD, new_password="Thieves-horse-1")
        )
