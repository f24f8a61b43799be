"""The first start: the user `admin` and the public project `library`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.model import Entity
from authsvc.domain.password import MINIMUM_CHARACTERS
from authsvc.domain.permission import PROJECT_ADMIN_ROLE
from authsvc.domain.project import existing_project
from authsvc.domain.robot_secret import KEY_BYTES
from authsvc.domain.user import existing_user
from svckit.access.actor import Actor, ChangeOrigin
from svckit.configuration.values import NO_LIMIT
from svckit.errors.start import StartError
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from authsvc.domain.ports import Clock, Hasher
    from authsvc.domain.rows import Store

_log = get_logger(__name__)

FIRST_USER = "admin"
FIRST_PROJECT = "library"

_ORIGIN = ChangeOrigin(Actor("service", name="authsvc"))


class BootstrapError(StartError):
    """The first start has no usable password for admin."""


async def bootstrap(store: Store, hasher: Hasher, clock: Clock, admin_password: Callable[[], str | None]) -> bytes:
    """Creates the first rows, once for each installation, even when several replicas start together.

    Args:
        store: the store of authsvc.
        hasher: hashes the password.
        clock: the time.
        admin_password: gives the password of `admin`, or None if it is not set. Called on the first start only.

    Returns:
        The key of robots' secrets, the same for all replicas.

    Raises:
        BootstrapError: it is the first start, and the password is missing or too short.
    """
    async with store.read() as unit:
        key = await unit.installation.robot_secret_key()
    if key is not None:
        return key
    password = admin_password()
    if not password:
        raise BootstrapError(
            "the first start needs a password for admin: set ROADSTEAD_ADMIN_PASSWORD, or "
            "authsvc.initial_admin_password_file to a file that holds it"
        )
    if len(password) < MINIMUM_CHARACTERS:
        raise BootstrapError(f"the password for admin must have at least {MINIMUM_CHARACTERS} characters")
    password_hash = await hasher.hash(password)

    async def work() -> bytes:
        now = clock()
        async with store.write() as unit:
            await unit.installation.lock()
            # Read again under the lock: another replica may have finished its first start while this one hashed.
            found = await unit.installation.robot_secret_key()
            if found is not None:
                return found
            made = secrets.token_bytes(KEY_BYTES)
            await unit.installation.add(made, now)
            user_id = await unit.installation.add_first_user(FIRST_USER, password_hash, now)
            project_id = await unit.installation.add_first_project(FIRST_PROJECT, user_id, NO_LIMIT, now)
            await unit.members.add(project_id, Entity("user", user_id), PROJECT_ADMIN_ROLE, now)
            user, project = await existing_user(unit, user_id), await existing_project(unit, project_id)
            unit.record(change_of(ChangeKind.USER_CREATED, _ORIGIN, now, new=user))
            unit.record(change_of(ChangeKind.PROJECT_CREATED, _ORIGIN, now, new=project))
            await unit.commit()
        _log.info("installation_created", username=FIRST_USER, project=FIRST_PROJECT)
        return made

    return await store.repeat(work)
