"""Accounts in the private project whose log-ins can be ended: a user, or a robot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.harness.installation import Installation
from tests.harness.workspace import MAINTAINER, Login, Management, Workspace


@dataclass(frozen=True)
class Account:
    """A user or robot that may push and pull.

    Attributes:
        login: its name and secret.
        end: ends what it has logged in with.
    """

    login: Login
    end: Callable[[], None]


def _user(management: Management, workspace: Workspace) -> tuple[Login, int]:
    login = management.create_user()
    management.add_member(workspace.project, login, MAINTAINER)
    (found,) = management.client.get("/users", params={"q": f"username={login.name}"}).raise_for_status().json()
    return login, found["user_id"]


def new_password(installation: Installation, management: Management, workspace: Workspace) -> Account:
    """A user who gets another password."""
    login, user_id = _user(management, workspace)

    def end() -> None:
        body = {"old_password": login.secret, "new_password": f"{login.secret}-2"}
        path = f"/users/{user_id}/password"
        management.client.put(path, json=body, auth=login.basic).raise_for_status()

    return Account(login, end)


def disabled_user(installation: Installation, management: Management, workspace: Workspace) -> Account:
    """A user who is disabled."""
    login, user_id = _user(management, workspace)

    def end() -> None:
        management.client.put(f"/users/{user_id}/disabled", json={"disabled": True}).raise_for_status()

    return Account(login, end)


def removed_robot(installation: Installation, management: Management, workspace: Workspace) -> Account:
    """A robot that is deleted."""
    login = management.create_robot(workspace.project)
    project_id = management.project_id(workspace.project)
    query = {"q": f"Level=project,ProjectID={project_id},name={login.name.rpartition('+')[2]}"}
    (found,) = management.client.get("/robots", params=query).raise_for_status().json()
    return Account(login, lambda: _delete(management, f"/robots/{found['id']}"))


def _delete(management: Management, path: str) -> None:
    management.client.delete(path).raise_for_status()


ENDINGS: Mapping[str, Callable[[Installation, Management, Workspace], Account]] = {
    "new password": new_password,
    "disabled user": disabled_user,
    "removed robot": removed_robot,
}
