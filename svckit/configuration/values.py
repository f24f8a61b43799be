"""The values of the runtime configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NO_LIMIT = -1
"""The `storage_per_project_bytes` without a limit."""

ProjectCreators = Literal["everyone", "adminonly"]
"""Which users may create projects."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The values in effect, with Harbor's defaults. The contract (`auth.v1.Configurations`) has the same names.

    Attributes:
        auth_mode: how people log in.
        self_registration: whether people may create users for themselves.
        project_creation_restriction: which users may create projects.
        read_only: whether everything is refused that would change something.
        robot_name_prefix: the prefix of all robot names; no user name may begin with it.
        robot_token_duration_days: the validity that clients propose for a new robot.
        storage_per_project_bytes: the quota of a project whose creator sets none; -1 for no limit.
        quota_per_project_enable: whether quotas are enforced.
        token_expiration_minutes: how long a registry token is valid.
        session_timeout_minutes: how long a session lives after its last use.
        banner_message: what web pages show to everybody at their top.
        pull_time_update_disable: whether pulls leave pull times as they are.
        pull_count_update_disable: whether pulls are not counted.
        scanner_skip_update_pull_time: whether pulls by the scanner leave pull times as they are.
    """

    auth_mode: str = "db_auth"
    self_registration: bool = False
    project_creation_restriction: ProjectCreators = "everyone"
    read_only: bool = False
    robot_name_prefix: str = "robot$"
    robot_token_duration_days: int = 30
    storage_per_project_bytes: int = NO_LIMIT
    quota_per_project_enable: bool = True
    token_expiration_minutes: int = 30
    session_timeout_minutes: int = 60
    banner_message: str = ""
    pull_time_update_disable: bool = False
    pull_count_update_disable: bool = False
    scanner_skip_update_pull_time: bool = False
