"""Settings of authsvc: section `[authsvc]`, variables `ROADSTEAD_AUTHSVC_…`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from svckit.changes.settings import ChangeLogSettings
from svckit.rpc.settings import RpcServerSettings
from svckit.services import SERVICES
from svckit.settings import SettingsError
from svckit.sql.settings import DatabaseServiceSettings, PoolSize, SchemaName
from svckit.tokens import IdentityToken, RegistryToken

SECTION = "authsvc"

_ADMIN_PASSWORD_VARIABLE = "ROADSTEAD_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable


class FixedConfiguration(BaseModel):
    """Values of the runtime configuration that the settings fix. Those that are not set can be changed at any time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    self_registration: bool | None = None
    """Whether people may create users for themselves. (false)"""
    project_creation_restriction: Literal["everyone", "adminonly"] | None = None
    """Which users may create projects: `everyone` or `adminonly`. (everyone)"""
    read_only: bool | None = None
    """Whether everything is refused that would change something. (false)"""
    robot_name_prefix: Annotated[str, Field(pattern=r"^[^\s:+/]{1,32}$")] | None = None
    """The prefix of all robot names. No user name may begin with it. (robot$)"""
    robot_token_duration_days: Annotated[int, Field(ge=1, le=9999999999)] | None = None
    """The validity that clients propose for a new robot. (30)"""
    storage_per_project_bytes: Annotated[int, Field(ge=-1, le=2**50)] | None = None
    """The quota of a new project when its creator sets none; -1 for no limit. (-1)"""
    quota_per_project_enable: bool | None = None
    """Whether the quotas of projects are enforced. (true)"""
    token_expiration_minutes: Annotated[int, Field(ge=1, le=RegistryToken.longest_lifetime_seconds // 60)] | None = None
    """How long a registry token is valid. containerd cannot fetch another one in the middle of a push. (30)"""
    session_timeout_minutes: Annotated[int, Field(ge=1, le=9999999999)] | None = None
    """How long a session lives after its last use. (60)"""
    banner_message: Annotated[str, Field(max_length=16384)] | None = None
    """What web pages show to everybody at their top. (empty)"""
    pull_time_update_disable: bool | None = None
    """Whether pulls leave the pull times of artifacts and tags as they are. (false)"""
    pull_count_update_disable: bool | None = None
    """Whether pulls are not counted. (false)"""
    scanner_skip_update_pull_time: bool | None = None
    """Whether pulls by the scanner leave pull times as they are. (false)"""

    @field_validator("storage_per_project_bytes")
    @classmethod
    def _check_storage(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("allowed: -1, or 1 and more")
        return value

    def fixed(self) -> dict[str, Any]:
        """The values that are set, by name."""
        return self.model_dump(exclude_none=True)


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
    token_grant: Literal["asked", "held"] = "asked"  # noqa: S105 - no password
    """What a registry token allows: `asked`, the actions that the client asked for and the caller may use; or `held`,
    all that the caller may use on the repositories that were asked for, as in Harbor. Clients that keep their first
    token, such as oras-py, can push with `held` only."""
    identity_token_seconds: Annotated[int, Field(ge=30, le=IdentityToken.longest_lifetime_seconds)] = 300
    """How long an identity token lives."""
    refresh_token_days: Annotated[int, Field(ge=0, le=3650)] = 30
    """How long a refresh token lives after its last use. `docker login` keeps one in place of the password. 0: none are
    given, as in Harbor, and none are taken."""
    refresh_token_shared_by: tuple[str, ...] = (
        "docker",
        "registry-client",
        "buildkit-client",
        "containerd-client",
        "containers/image",
        "go-containerregistry",
        "oras-go",
        "regclient",
    )
    """The clients that read Docker's file of log-ins, as they call themselves (`client_id`): a refresh token of one of
    them is good for all of them. That of another client is good for that client only. Empty: each has its own."""
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
    changes: ChangeLogSettings = ChangeLogSettings()
    """How long the change log is kept. A compaction, which jobsvc runs, deletes what is older."""
    configuration: FixedConfiguration = FixedConfiguration()
    """The runtime configuration, which administrators change with `PUT /api/v2.0/configurations`. What is set here is
    fixed: it cannot be changed there. In brackets: what is in effect if nobody sets it."""

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
