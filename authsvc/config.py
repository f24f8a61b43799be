"""Settings of authsvc: section `[authsvc]`, variables `ROADSTEAD_AUTHSVC_…`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES
from svckit.settings import SettingsError
from svckit.sql.settings import DatabaseServiceSettings, PoolSize, SchemaName

SECTION = "authsvc"

_ADMIN_PASSWORD_VARIABLE = "ROADSTEAD_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable


class AuthSettings(DatabaseServiceSettings):
    """The settings of authsvc."""

    rpc: RpcServerSettings = RpcServerSettings(listen=(SERVICES[SECTION].default_address,))
    database_url: SecretStr = SecretStr("sqlite:////var/lib/roadstead/authsvc/auth.db")
    database_schema: SchemaName = "authsvc"
    database_pool_size: PoolSize = 32
    key_file: Path = Path("/var/lib/roadstead/keys/authsvc.pem")
    """The key pair that signs registry and identity tokens. Made when it is absent. Replicas may share one."""
    admin_password: SecretStr | None = None
    """The password of the user admin, for the first start only. ROADSTEAD_ADMIN_PASSWORD does the same."""
    initial_admin_password_file: Path | None = None
    """A file with the password of admin. Read when it is set nowhere else. A line break at the end is removed."""
    registry_token_seconds: Annotated[int, Field(ge=60, le=24 * 3600)] = 1800
    """How long a registry token lives. containerd cannot fetch another one in the middle of a push."""
    token_grant: Literal["asked", "held"] = "asked"  # noqa: S105 - no password
    """What a registry token allows: `asked`, the actions that the client asked for and the caller may use; or `held`,
    all that the caller may use on the repositories that were asked for, as in Harbor. Clients that keep their first
    token, such as oras-py, can push with `held` only."""
    identity_token_seconds: Annotated[int, Field(ge=30, le=3600)] = 300
    """How long an identity token lives."""
    robot_name_prefix: Annotated[str, Field(pattern=r"^[^\s:+/]{1,32}$")] = "robot$"
    """The prefix of all robot names. No user name may begin with it."""
    default_storage_limit_bytes: Annotated[int, Field(ge=-1)] = -1
    """The quota of a new project when its creator sets none; -1 for no limit."""
    hash_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """How many passwords are hashed at once. Each hash takes argon2_memory_kib while it runs."""
    argon2_memory_kib: Annotated[int, Field(ge=8192, le=1048576)] = 19456
    """Memory of one argon2id hash. Together with argon2_passes: OWASP's minimum of 19 MiB, two passes, one lane."""
    argon2_passes: Annotated[int, Field(ge=1, le=16)] = 2
    """Passes of one argon2id hash over its memory."""
    verification_seconds: Annotated[float, Field(ge=0, le=300)] = 60.0
    """How long a correct password is remembered, as a keyed hash in memory; 0 for not at all."""
    failure_delay_seconds: Annotated[float, Field(ge=0, le=10)] = 0.1
    """The first delay after wrong passwords. It doubles with each further failure."""
    failure_delay_longest_seconds: Annotated[float, Field(ge=0, le=10)] = 5.0
    """The longest delay after wrong passwords."""

    def first_admin_password(self) -> str | None:
        """The password of admin for the first start: from the setting, else the variable, else the file.

        Raises:
            SettingsError: the file is named and cannot be read.
        """
        if self.admin_password is not None:
            return self.admin_password.get_secret_value()
        if password := os.environ.get(_ADMIN_PASSWORD_VARIABLE):
            return password
        if self.initial_admin_password_file is None:
            return None
        try:
            return self.initial_admin_password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise SettingsError(
                [f"authsvc.initial_admin_password_file: cannot read {self.initial_admin_password_file}: {reason}"]
            ) from None
