"""What every use case of authsvc works with, handed over as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from authsvc.domain.login import Login
    from authsvc.domain.ports import Clock, Hasher, RobotAccess, Signer, Store
    from authsvc.domain.robot_secret import RobotSecrets

ProjectCreators = Literal["everyone", "adminonly"]
"""Harbor's setting `project_creation_restriction`: which users may create projects."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator has decided.

    Attributes:
        robot_name_prefix: what the names of robots begin with, and those of users do not.
        project_creators: which users may create projects.
        default_storage_limit_bytes: the quota of a project whose creator says none; -1 for no limit.
        registry_token_seconds: how long a registry token lives.
        identity_token_seconds: how long an identity token lives.
    """

    robot_name_prefix: str
    project_creators: ProjectCreators
    default_storage_limit_bytes: int
    registry_token_seconds: int
    identity_token_seconds: int


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports and rules of authsvc.

    Attributes:
        store: of users, projects, members, robots and roles.
        clock: the time.
        hasher: of passwords.
        robot_secrets: makes, hashes and verifies the secrets of robots.
        login: proves who has a name and secret.
        signer: of tokens.
        robot_access: what the caller that is being served may do to robots.
        rules: what an operator has decided.
    """

    store: Store
    clock: Clock
    hasher: Hasher
    robot_secrets: RobotSecrets
    login: Login
    signer: Signer
    robot_access: RobotAccess
    rules: Rules
