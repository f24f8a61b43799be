"""The ports and rules that every use case of authsvc takes as its first argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from authsvc.domain.configuration import RuntimeConfiguration
    from authsvc.domain.login import Login
    from authsvc.domain.ports import Clock, Hasher, RobotAccess, Signer
    from authsvc.domain.refresh_login import RefreshLogin, RefreshTokenRules
    from authsvc.domain.refresh_token_text import RefreshTokenTexts
    from authsvc.domain.robot_secret import RobotSecrets
    from authsvc.domain.rows import Store

TokenGrant = Literal["asked", "held"]
"""What a registry token allows: the actions that were asked for, or all that the caller holds there."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings that the rules depend on.

    Attributes:
        token_grant: whether a registry token allows the actions that were asked for only, or all that are held.
        identity_token_seconds: how long an identity token lives.
        refresh_tokens: who may use refresh tokens, and how long.
    """

    token_grant: TokenGrant
    identity_token_seconds: int
    refresh_tokens: RefreshTokenRules


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports and rules of authsvc.

    Attributes:
        store: of users, projects, members, robots and roles.
        clock: the time.
        hasher: hashes passwords.
        robot_secrets: makes, hashes and verifies the secrets of robots.
        login: checks a name and its secret.
        refresh_login: checks a refresh token.
        refresh_token_texts: makes and hashes the texts of refresh tokens.
        signer: signs tokens.
        robot_access: what the caller of the current RPC may do to robots.
        rules: settings that the rules depend on.
        configuration: the runtime configuration.
    """

    store: Store
    clock: Clock
    hasher: Hasher
    robot_secrets: RobotSecrets
    login: Login
    refresh_login: RefreshLogin
    refresh_token_texts: RefreshTokenTexts
    signer: Signer
    robot_access: RobotAccess
    rules: Rules
    configuration: RuntimeConfiguration
