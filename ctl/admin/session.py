"""One run of a command: which installation it is about, and what it says beside its result."""

import os
import sys
from argparse import Namespace
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Self

from ctl.admin.profile import Profile
from ctl.admin.target import ADMIN, Target, local_target, remote_target
from ctl.data_dir import DataDir
from ctl.errors import CommandError

if TYPE_CHECKING:
    from ctl.admin.api import Api

PROFILE_VARIABLE = "ROADSTEAD_ADMIN_PROFILE"


def say(text: str) -> None:
    """Says something to the person at the terminal. Results go to standard output, and everything else here."""
    print(text, file=sys.stderr)


class Session:
    """The installation that a command is about: that of a profile, or that of a data directory.

    Use it in a `with` block. It connects when `api` is used.
    """

    def __init__(self, options: Namespace) -> None:
        """Takes the arguments of the command."""
        self._data_dir: DataDir | None = getattr(options, "data_dir", None)
        self._profile: str | None = getattr(options, "profile", None)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connection, if there is one."""
        self._stack.close()

    @cached_property
    def profile(self) -> Profile | None:
        """The profile; None for an installation of this machine."""
        if self._data_dir is not None:
            return None
        name = self._profile or os.environ.get(PROFILE_VARIABLE, "")
        return Profile.load(name) if name else None

    @property
    def data_dir(self) -> DataDir:
        """The data directory, if there is no profile."""
        return self._data_dir or DataDir.default()

    @cached_property
    def target(self) -> Target:
        """Where the installation is."""
        return local_target(self.data_dir) if self.profile is None else remote_target(self.profile)

    @cached_property
    def api(self) -> "Api":
        """The REST API of the installation."""
        return self.connect(self.target)

    def connect(self, target: Target) -> "Api":
        """The REST API of an installation, open until the command ends."""
        from ctl.admin.api import Api  # httpx is slow to load, and some commands need no connection

        if self.profile is not None and self.profile.insecure:
            say(f"warning: {target.name} does not have to prove who it is (--insecure)")
        return self._stack.enter_context(Api(target))

    def password_changed(self, user: str, password: str) -> None:
        """Keeps a new password where the next command looks for it, or says that it has to be put there."""
        if user != self.target.user:
            return
        if self.profile is None and user == ADMIN:
            try:
                self.data_dir.save_admin_password(password)
            except OSError as error:
                raise CommandError(
                    f"{user} has the new password, but {self.data_dir.password_file} cannot be written "
                    f"({error.strerror}); write the password into it, with mode 0600"
                ) from error
        elif self.profile is not None and self.profile.password.name:
            say(f"this is the password of the profile {self.profile.name}: change it in {self.profile.password}, too")
