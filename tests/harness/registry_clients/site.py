"""Where client programs work: an installation behind a tap, and tokens that are good, too old, or another site's."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import httpx

from tests.harness import plain_http
from tests.harness.installation import Installation
from tests.harness.keyring import Keyring
from tests.harness.tap import Tap, tap
from tests.harness.workspace import MAINTAINER, Login, Management, Workspace, new_workspace

# Longer than clocks may differ.
_EXPIRED_SECONDS = 600


@dataclass(frozen=True)
class Site:
    """An installation with a private project, and the tap through which clients reach it.

    Attributes:
        installation: it runs.
        management: its REST API.
        workspace: the private project.
        tapped: the tap; clients use its address.
        tag: of every image. It is a version, because the tag of a chart has to be one.
    """

    installation: Installation
    management: Management
    workspace: Workspace
    tapped: Tap
    tag: ClassVar[str] = "1.0.0"

    def image(self, repository: str) -> str:
        """The name of an image in the private project, as clients reach it."""
        return f"{self.tapped.host}/{self.path(repository)}:{self.tag}"

    def path(self, repository: str) -> str:
        """The name of a repository in the private project, without the host."""
        return f"{self.workspace.project}/{repository}"

    def digest(self, repository: str) -> str:
        """What the registry itself says about the image."""
        answer = plain_http.get(
            f"{self.installation.http_url}/api/v2.0/projects/{self.workspace.project}/repositories/"
            f"{repository}/artifacts/{self.tag}",
            auth=self.management.admin.basic,
        )
        return str(answer.raise_for_status().json()["digest"])

    def create_member(self) -> Login:
        """A user who may push and pull."""
        login = self.management.create_user()
        self.management.add_member(self.workspace.project, login, MAINTAINER)
        return login

    def user_id(self, login: Login) -> int:
        """The id of a user."""
        found = self.management.client.get("/users", params={"q": f"username={login.name}"})
        return int(found.raise_for_status().json()[0]["user_id"])

    def registry_token(
        self, login: Login, repository: str, *, is_expired: bool = False, signed_by: Path | None = None
    ) -> str:
        """The registry token that a user gets for a repository.

        Args:
            login: the user.
            repository: in the private project.
            is_expired: whether it was given so long ago that it has expired.
            signed_by: the data directory of the installation whose keys sign it, if another one's.
        """
        project_id = self.management.project_id(self.workspace.project)
        return Keyring.of(signed_by or self.installation.data_dir).registry_token(
            (self.path(repository), "pull,push", project_id),
            subject=f"user:{self.user_id(login)}",
            expired_seconds=_EXPIRED_SECONDS if is_expired else 0,
        )

    def refresh_token(self, login: Login, client_id: str) -> str:
        """The refresh token that a client gets in place of the password."""
        form = {
            "grant_type": "password",
            "username": login.name,
            "password": login.secret,
            "client_id": client_id,
            "access_type": "offline",
        }
        answer = httpx.post(f"{self.installation.http_url}/service/token", data=form, trust_env=False, timeout=30)
        return str(answer.raise_for_status().json()["refresh_token"])

    def let_refresh_tokens_expire(self, login: Login) -> None:
        """Turns the clock of a user's refresh tokens forward, so that they have expired."""
        with closing(sqlite3.connect(self.installation.data_dir / "authsvc" / "auth.db", timeout=30)) as connection:
            connection.execute(
                "UPDATE refresh_token SET expire_time = create_time WHERE user_id = ?", (self.user_id(login),)
            )
            connection.commit()


@contextmanager
def site_of(installation: Installation) -> Iterator[Site]:
    """An installation as a site, with a private project of its own."""
    management = Management.of(installation)
    try:
        with tap(installation.host) as tapped:
            yield Site(installation, management, new_workspace(installation, management), tapped)
    finally:
        management.close()
