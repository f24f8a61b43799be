"""`roadstead admin`: the tasks of the person who runs an installation of `roadstead up`."""

import asyncio
import getpass
import sys

from ctl.data_dir import DataDir
from ctl.errors import CommandError
from svckit.services import RPC_SERVICES

_ADMIN = "admin"


def print_password(data_dir: DataDir) -> int:
    """Prints the password of the user admin that the data directory holds.

    Raises:
        CommandError: if it holds none.
    """
    print(_saved_password(data_dir))
    return 0


def set_password(data_dir: DataDir, user: str) -> int:
    """Changes the password of a user, as the user admin, over authsvc's socket.

    Raises:
        CommandError: if `roadstead up` does not run, the user is unknown, or the password is refused.
    """
    if data_dir.lock_holder() is None:
        raise CommandError(f"`roadstead up` does not run on {data_dir.path}; start it first")
    old = _saved_password(data_dir)
    new = _ask_for_password(user)
    asyncio.run(_set_password(data_dir, user, old, new))
    if user == _ADMIN:
        data_dir.save_admin_password(new)
    print(f"{user} has a new password", file=sys.stderr)
    return 0


async def _set_password(data_dir: DataDir, user: str, admin_password: str, new: str) -> None:
    from roadstead.auth.v1.token_pb2 import Credentials
    from roadstead.auth.v1.token_service_pb2 import CreateIdentityTokenRequest
    from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
    from roadstead.auth.v1.user_service_pb2 import ChangeUserPasswordRequest, ListUsersRequest
    from roadstead.auth.v1.user_service_pb2_grpc import UserServiceStub
    from svckit.errors import DomainError
    from svckit.rpc.channel import open_channel

    try:
        async with open_channel(f"unix:{data_dir.sockets.readlink() / RPC_SERVICES['authsvc'].socket}") as channel:
            credentials = Credentials(password=Credentials.Password(username=_ADMIN, secret=admin_password))
            answer = await TokenServiceStub(channel).CreateIdentityToken(
                CreateIdentityTokenRequest(credentials=credentials)
            )
            metadata = (("authorization", f"Bearer {answer.token}"),)
            users = UserServiceStub(channel)
            found = await users.ListUsers(ListUsersRequest(q=f"username={user}"), metadata=metadata)
            if not found.users:
                raise CommandError(f"there is no user {user}")
            await users.ChangeUserPassword(
                ChangeUserPasswordRequest(
                    user_id=found.users[0].id,
                    old_password=admin_password if user == _ADMIN else "",
                    new_password=new,
                ),
                metadata=metadata,
            )
    except DomainError as error:
        raise CommandError(f"authsvc refuses: {error}") from error


def _saved_password(data_dir: DataDir) -> str:
    try:
        return data_dir.password_file.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise CommandError(f"cannot read {data_dir.password_file}: {error.strerror}") from error


def _ask_for_password(user: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"New password of {user}: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("the two passwords are not the same")
    return password
