"""containerd, driven by its ctr command."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from tests.harness.engines import import_image
from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient
from tests.harness.workspace import Login

_USER = '--user "$NAME" '


class Containerd(RegistryClient):
    """It keeps no login: each push and pull names the user, and asks for the password on the terminal."""

    name: ClassVar = "containerd"
    program: ClassVar = "ctr"
    fixture: ClassVar = "ctr"
    client_id: ClassVar = "containerd-client"
    takes: ClassVar = "refresh token"
    push_lines: ClassVar = (f'ctr images push --plain-http {_USER}"$IMAGE"',)
    pull_lines: ClassVar = (f'ctr images pull --plain-http {_USER}"$IMAGE"',)

    _secret: str | None = None
    _token: str | None = None

    def log_in(self, login: Login) -> Outcome:
        self._secret = login.secret
        return super().log_in(login)

    def log_out(self) -> Outcome:
        self._secret = self._token = None
        return super().log_out()

    def take_token(self, token: str) -> None:
        # It has no other way than an argument.
        self._token = token

    def push(self, pushed: Image, image: str) -> Outcome:
        with TemporaryDirectory(dir=self.folder) as folder:
            import_image(self._program, Path(folder), pushed, *image.rsplit(":", 1))
        return self._moved(*self.push_lines, image=image)

    def pull(self, image: str) -> Outcome:
        self._program.attempt("images", "rm", "--sync", image)
        return self._moved(*self.pull_lines, image=image)

    def _moved(self, *lines: str, image: str) -> Outcome:
        if self._token is not None:
            lines = tuple(line.replace(_USER, '--refresh "$TOKEN" ') for line in lines)
        elif self._secret is None:
            lines = tuple(line.replace(_USER, "") for line in lines)
        outcome = self._run(*lines, typed=self._secret, IMAGE=image, TOKEN=self._token or "")
        listed = self._program.run("images", "ls", f"name=={image}") if outcome.succeeded else ""
        return self._with_digest(outcome, listed)
