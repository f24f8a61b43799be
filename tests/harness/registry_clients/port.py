"""What every client program does: it logs in, pushes an image, pulls it back, and logs out.

The shell lines of an adapter run as they stand, with these variables: REGISTRY ("HOST:PORT"), IMAGE
("HOST:PORT/project/repository:tag"), NAME (of a user or robot), and TOKEN where a program takes a token only as an
argument. The file `secret` in the working folder has the password or secret.
"""

import base64
import json
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from tests.harness.images import Image, write_oci_layout
from tests.harness.programs import Client
from tests.harness.workspace import Login

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes:
        exit_status: of the program; 0 if all went well.
        output: what it printed to standard output.
        errors: what it printed to standard error.
        digest: of the image, as the program saw it; empty after a failure.
    """

    exit_status: int
    output: str = ""
    errors: str = ""
    digest: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether all went well."""
        return self.exit_status == 0


class RegistryClient(ABC):
    """A client program.

    Attributes:
        name: as refusals.toml has it.
        program: the name of its program.
        fixture: the fixture that gives the program, if it needs one that runs an engine; empty for none.
        log_in_line, push_lines, pull_lines, log_out_line: shell lines. Empty if it keeps no login: then each push and
            pull names the user.
        client_id: what it calls itself when it asks for a token by OAuth2's form.
        takes: which kind of token it can be given in place of a password.
        needs_held_grants: whether it works only with `token_grant = "held"`.
        sends_as_given: whether it pushes the image byte for byte. Others make one of their own from its content.
        signs: whether its push is a signature of an image, which must be there, and its pull the check of it.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    fixture: ClassVar[str] = ""
    log_in_line: ClassVar[str] = ""
    push_lines: ClassVar[Sequence[str]]
    pull_lines: ClassVar[Sequence[str]]
    log_out_line: ClassVar[str] = ""
    client_id: ClassVar[str]
    takes: ClassVar[Literal["registry token", "refresh token"]]
    needs_held_grants: ClassVar[bool] = False
    sends_as_given: ClassVar[bool] = True
    signs: ClassVar[bool] = False

    def __init__(self, program: Client, folder: Path, registry: str) -> None:
        """Prepares a working folder; talks to nobody.

        Args:
            program: with a HOME of its own.
            folder: the working folder; exists.
            registry: "HOST:PORT".
        """
        self.folder = folder
        self.registry = registry
        self._program = program
        self._user = ""

    def log_in(self, login: Login) -> Outcome:
        """Logs in. Programs that keep no login remember it here, and use it with each push and pull."""
        self._user = login.name
        self._write("secret", login.secret)
        return self._run(self.log_in_line) if self.log_in_line else Outcome(0)

    def log_out(self) -> Outcome:
        """Logs out. A push or pull after that is anonymous."""
        self._user = ""
        return self._run(self.log_out_line) if self.log_out_line else Outcome(0)

    @abstractmethod
    def take_token(self, token: str) -> None:
        """Uses a token in place of a login; its kind is that of `takes`."""

    @abstractmethod
    def push(self, pushed: Image, image: str) -> Outcome:
        """Pushes an image, or what the program makes of it.

        Args:
            pushed: the image.
            image: "HOST:PORT/project/repository:tag".
        """

    @abstractmethod
    def pull(self, image: str) -> Outcome:
        """Pulls an image that the program does not have, or no longer has.

        Args:
            image: "HOST:PORT/project/repository:tag".
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to remove
        """Removes what a shared engine keeps of this client; others keep nothing."""

    def _run(self, *lines: str, typed: str | None = None, **variables: str) -> Outcome:
        """Runs shell lines in the working folder; the first that fails ends them."""
        done = self._program.shell(
            "\n".join(lines), self.folder, typed=typed, REGISTRY=self.registry, NAME=self._user, **variables
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def _with_digest(self, outcome: Outcome, text: str) -> Outcome:
        """The outcome, with the one digest in this text, if the step has succeeded."""
        if not outcome.succeeded:
            return outcome
        (digest,) = set(_DIGEST.findall(text))
        return replace(outcome, digest=digest)

    def _lay_out(self, pushed: Image) -> None:
        """Writes an image into the folder `image`, as an OCI image layout; it replaces what is there."""
        layout = self.folder / "image"
        shutil.rmtree(layout, ignore_errors=True)
        write_oci_layout(layout, pushed)

    def _write(self, name: str, content: str) -> None:
        """Writes a file into the working folder that only its owner can read."""
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(content)


def docker_login_file(registry: str, *, registry_token: str = "", refresh_token: str = "") -> str:
    """Docker's file of logins (`config.json`) with a token. Many programs read it.

    Args:
        registry: "HOST:PORT".
        registry_token: is sent as it is.
        refresh_token: buys registry tokens.
    """
    kept = {"registrytoken": registry_token} if registry_token else {"identitytoken": refresh_token}
    # Without a name the programs ignore a refresh token.
    kept["auth"] = base64.b64encode(b"token:").decode() if refresh_token else ""
    return json.dumps({"auths": {registry: kept}})
