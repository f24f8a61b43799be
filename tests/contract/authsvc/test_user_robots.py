"""What robots of the system level may do to users."""

import pytest

from roadstead.auth.v1 import user_service_pb2 as pb
from svckit.errors import Denied
from tests.harness.authsvc import ADMIN_PASSWORD, AuthService, Caller, permission_group


async def robot(authsvc: AuthService, *actions: str) -> Caller:
    group = permission_group("/", *(f"user:{action}" for action in actions))
    created = await authsvc.admin.make_system_robot(f"r-{'-'.join(actions)}", group)
    return await authsvc.log_in(created.name, created.secret)


async def test_a_robot_reads_and_changes_users_as_far_as_it_was_given_and_never_their_secrets(
    authsvc: AuthService,
) -> None:
    alice = await authsvc.user("alice")
    reader, writer = await robot(authsvc, "read"), await robot(authsvc, "update")
    read = pb.GetUserRequest(user_id=alice.id)
    change = pb.UpdateUserRequest(user_id=alice.id, realname="Alice")
    assert (await reader.users.GetUser(read)).user.username == "alice"
    assert (await writer.users.UpdateUser(change)).user.realname == "Alice"
    lister, all_but_read = await robot(authsvc, "list"), await robot(authsvc, "list", "delete", "create")
    for call in (
        reader.users.UpdateUser(change),
        writer.users.GetUser(read),
        lister.users.GetUser(read),
        all_but_read.users.UpdateUser(change),
        # A password or the rights of an administrator would give the robot more than it holds.
        writer.users.ChangeUserPassword(
            pb.ChangeUserPasswordRequest(user_id=1, old_password=ADMIN_PASSWORD, new_password="Robots-horse-1")
        ),
        writer.users.SetUserAdministrator(pb.SetUserAdministratorRequest(user_id=alice.id, administrator=True)),
        writer.users.SetUserCliSecret(pb.SetUserCliSecretRequest(user_id=alice.id, secret="Robots-horse-1")),
    ):
        with pytest.raises(Denied):
            await call
    # A robot of a project with the id of a user is not that user.
    await alice.make_project("team")
    for number in range(alice.id + 1):
        made = await alice.make_robot("team", f"ci-{number}", "repository:pull")
        machine = await authsvc.log_in(made.name, made.secret)
        with pytest.raises(Denied):
            await machine.users.GetUser(pb.GetUserRequest(user_id=made.id))


async def test_a_robot_neither_disables_an_administrator_nor_makes_one_by_enabling(authsvc: AuthService) -> None:
    alice, bob = await authsvc.user("alice"), await authsvc.user("bob")
    await authsvc.admin.users.SetUserAdministrator(pb.SetUserAdministratorRequest(user_id=alice.id, administrator=True))
    writer = await robot(authsvc, "update")

    def change(user: Caller, *, disabled: bool) -> pb.SetUserDisabledRequest:
        return pb.SetUserDisabledRequest(user_id=user.id, disabled=disabled)

    for disabled in (True, False):
        assert (await writer.users.SetUserDisabled(change(bob, disabled=disabled))).user.disabled is disabled
        with pytest.raises(Denied):
            await writer.users.SetUserDisabled(change(alice, disabled=disabled))
        user = (await authsvc.admin.users.GetUser(pb.GetUserRequest(user_id=alice.id))).user
        assert user.disabled is not disabled
        await authsvc.admin.users.SetUserDisabled(change(alice, disabled=True))
