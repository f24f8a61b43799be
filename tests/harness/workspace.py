"""A private project with users and a robot, created over the REST API of a running installation."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Self

import httpx
import pytest

from tests.harness.installation import Installation
from tests.harness.plain_http import NO_TLS

PROJECT_ADMIN, DEVELOPER, GUEST, MAINTAINER, LIMITED_GUEST = 1, 2, 3, 4, 5

# The permissions of a robot that pushes, pulls and deletes images.
BUILDER_PERMISSIONS = [
    {"resource": "repository", "action": action} for action in ("list", "read", "pull", "push", "delete")
] + [{"resource": "artifact", "action": action} for action in ("list", "read", "create", "delete")]


@dataclass(frozen=True)
class Login:
    """A name and its secret."""

    name: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> tuple[str, str]:
        """In the form that httpx needs."""
        return (self.name, self.secret)


class Management:
    """The REST API, as an administrator.

    Attributes:
        admin: the login of the administrator.
        client: for other requests than those below.
    """

    def __init__(self, admin_password: str, *http_urls: str) -> None:
        """Connects to gateways.

        Args:
            admin_password: of the user admin.
            http_urls: the URL of one gateway, or of several replicas, which get the requests in turn.
        """
        self.admin = Login("admin", admin_password)
        self._clients = [
            httpx.Client(base_url=f"{url}/api/v2.0", auth=self.admin.basic, timeout=30, trust_env=False, verify=NO_TLS)
            for url in http_urls
        ]
        self._turns = cycle(self._clients)
        self.client = self._clients[0]

    @classmethod
    def of(cls, installation: Installation) -> Self:
        """The REST API of an installation, with the password that it keeps."""
        return cls(installation.admin_password, installation.http_url)

    def create_project(self, *, public: bool = False, storage_limit: int | None = None) -> str:
        """Creates a project and returns its name."""
        name = f"p{secrets.token_hex(5)}"
        body: dict[str, Any] = {"project_name": name, "metadata": {"public": str(public).lower()}}
        if storage_limit is not None:
            body["storage_limit"] = storage_limit
        self._post("/projects", body)
        return name

    def create_user(self) -> Login:
        """Creates a user."""
        login = Login(f"u{secrets.token_hex(5)}", f"Aa1{secrets.token_urlsafe(16)}")
        body = {
            "username": login.name,
            "password": login.secret,
            "email": f"{login.name}@example.com",
            "realname": login.name,
        }
        self._post("/users", body)
        return login

    def make_administrator(self, login: Login) -> None:
        """Makes a user an administrator."""
        found = self._expect(self.client.get("/users", params={"q": f"username={login.name}"}), 200).json()
        path = f"/users/{found[0]['user_id']}/sysadmin"
        self._expect(self.client.put(path, json={"sysadmin_flag": True}), 200)

    def add_member(self, project: str, login: Login, role_id: int) -> None:
        """Gives a user a role in a project."""
        body = {"role_id": role_id, "member_user": {"username": login.name}}
        self._post(f"/projects/{project}/members", body)

    def create_group(self, *logins: Login) -> int:
        """Creates a group of these users, and returns its id."""
        created = self._post("/usergroups", {"group_name": f"g{secrets.token_hex(5)}", "group_type": 3})
        group_id = int(created.headers["Location"].rpartition("/")[2])
        for login in logins:
            self._post(f"/usergroups/{group_id}/members", {"username": login.name})
        return group_id

    def add_group(self, project: str, group_id: int, role_id: int) -> None:
        """Gives a group a role in a project."""
        self._post(f"/projects/{project}/members", {"role_id": role_id, "member_group": {"id": group_id}})

    def create_robot(
        self, project: str, access: list[dict[str, str]] | None = None, *, level: str = "project"
    ) -> Login:
        """Creates a robot in a project, or one of the system level; by default it may build, push, pull and delete."""
        body = {
            "name": f"r{secrets.token_hex(4)}",
            "level": level,
            "duration": -1,
            "permissions": [
                {"kind": "project", "namespace": project, "access": access or BUILDER_PERMISSIONS},
            ],
        }
        created: Mapping[str, Any] = self._post("/robots", body).json()
        return Login(created["name"], created["secret"])

    def project_id(self, project: str) -> int:
        """The id of a project."""
        found: int = self._expect(self.client.get(f"/projects/{project}"), 200).json()["project_id"]
        return found

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients:
            client.close()

    def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return self._expect(next(self._turns).post(path, json=body), 201)

    @staticmethod
    def _expect(response: httpx.Response, status: int) -> httpx.Response:
        assert response.status_code == status, f"{response.request.method} {response.request.url}: {response.text}"
        return response


@dataclass(frozen=True)
class Workspace:
    """A private project, and users with different rights in it."""

    host: str
    http_url: str
    project: str
    maintainer: Login
    robot: Login
    guest: Login
    outsider: Login


def new_workspace(installation: Installation, management: Management) -> Workspace:
    """A private project in an installation, with a maintainer, a robot, a guest, and a non-member."""
    project = management.create_project()
    maintainer, guest, outsider = (management.create_user() for _ in range(3))
    management.add_member(project, maintainer, MAINTAINER)
    management.add_member(project, guest, GUEST)
    robot = management.create_robot(project)
    return Workspace(installation.host, installation.http_url, project, maintainer, robot, guest, outsider)


@pytest.fixture(scope="session")
def management(installation: Installation) -> Iterator[Management]:
    """The REST API of the shared installation, as an administrator."""
    management = Management.of(installation)
    yield management
    management.close()


@pytest.fixture(scope="session")
def workspace(installation: Installation, management: Management) -> Workspace:
    """A private project in the shared installation, with a maintainer, a robot, a guest, and a non-member."""
    return new_workspace(installation, management)
