"""Creates, changes and deletes projects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from authsvc.domain.caller import identify
from authsvc.domain.change import ChangeKind, change_of
from authsvc.domain.cve_allowlist import NOTHING
from authsvc.domain.model import Entity
from authsvc.domain.permission import PROJECT_ADMIN_ROLE
from authsvc.domain.project import NewProject, ProjectChange, SeenProject, existing_project
from authsvc.domain.project_settings import check_protections
from authsvc.domain.revocation import loss_of_publicity
from svckit.configuration.values import NO_LIMIT
from svckit.errors import Conflict, Denied, FieldViolation, Invalid, NotFound
from svckit.etag import check_etag
from svckit.idempotency import made_is_gone
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Caller, Project, Requester
    from svckit.access.actor import ChangeOrigin
    from svckit.configuration.values import Configuration
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)


async def create_project(
    ports: Ports, requester: Requester, new: NewProject, *, key: IdempotencyKey | None = None
) -> SeenProject:
    """Creates a project. The caller becomes its owner and its first project administrator.

    A robot cannot own a project. For a robot, the administrator with the smallest id becomes the owner, as in Harbor.

    A repeat with the same idempotency key answers with the project that the first call created.

    Raises:
        DomainError: CONFLICT, the name is taken, or the key was used for another request; FORBIDDEN, the caller sets a
            limit or names a registry and is not an administrator; BAD_REQUEST, the registry is unknown; PRECONDITION,
            nothing would enforce a protection; UNAUTHORIZED.
    """

    async def work() -> SeenProject:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            if new.registry_id is not None:
                _refuse_registry(caller, new.registry_id)
            check_protections({}, new.settings)
            limit = _limit(caller, new.storage_limit_bytes, ports.configuration.values)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                project = await unit.projects.get(first.made_id)
                if project is None:
                    raise made_is_gone()
                roles = await unit.members.roles_of(caller, [project.id])
                return SeenProject(project, roles.get(project.id, ()))
            owner_id = caller.user_id or min(await unit.users.lock_administrators())
            project_id = await unit.projects.add(
                name=new.name,
                owner_id=owner_id,
                public=new.public,
                settings=new.settings,
                initial_storage_limit_bytes=limit,
                now=now,
            )
            if project_id is None:
                raise Conflict(message=f"the project {new.name} exists already")
            await unit.members.add(project_id, Entity("user", owner_id), PROJECT_ADMIN_ROLE, now)
            if new.cve_allowlist != NOTHING:
                await unit.cve_allowlists.put(project_id, new.cve_allowlist.dated(NOTHING, now))
            await unit.idempotency.remember(key, project_id)
            project = await existing_project(unit, project_id)
            unit.record(change_of(ChangeKind.PROJECT_CREATED, requester.origin, now, new=project))
            await unit.commit()
        _log.info(
            "project_created",
            project_id=project_id,
            project=new.name,
            public=new.public,
            actor=str(requester.origin.actor),
        )
        return SeenProject(project, (PROJECT_ADMIN_ROLE,) if caller.user_id else ())

    return await ports.store.repeat(work)


async def update_project(ports: Ports, requester: Requester, project_id: int, change: ProjectChange) -> SeenProject:
    """Changes a project's settings. The interceptor has already checked the caller's access.

    Raises:
        DomainError: PROJECT_UNKNOWN; PRECONDITION, another change came first, or nothing would enforce a protection;
            BAD_REQUEST, another name, or a retention policy that is not the project's.
    """

    def apply(project: Project) -> Project:
        if change.name and change.name != project.name:
            raise Invalid(
                message="the name of a project does not change",
                violations=[FieldViolation("project_name", "is not the project's own")],
            )
        return replace(
            project,
            public=project.public if change.public is None else change.public,
            settings={**project.settings, **change.settings},
            cve_allowlist=project.cve_allowlist if change.cve_allowlist is None else change.cve_allowlist,
        )

    return await change_project(ports, requester, project_id, apply, etag=change.etag)


async def change_project(
    ports: Ports, requester: Requester, project_id: int, apply: Callable[[Project], Project], *, etag: str = ""
) -> SeenProject:
    """Changes what `apply` changes. The interceptor has already checked the caller's access.

    Args:
        ports: the ports of authsvc.
        requester: who asks.
        project_id: the project.
        apply: makes the wanted state of the present one.
        etag: the etag of the state that was read, as `check_etag` takes it.

    Raises:
        DomainError: PROJECT_UNKNOWN; PRECONDITION, another change came first, or nothing would enforce a protection;
            what `apply` raises.
    """

    async def work() -> SeenProject:
        now = ports.clock()
        async with ports.store.write() as unit:
            caller = await identify(unit, requester.identity, now)
            project = await unit.projects.lock(project_id)
            if project is None:
                raise NotFound("PROJECT_UNKNOWN")
            wanted = apply(project)
            wanted = replace(wanted, cve_allowlist=wanted.cve_allowlist.dated(project.cve_allowlist, now))
            check_protections(project.settings, wanted.settings)
            roles = (await unit.members.roles_of(caller, [project_id])).get(project_id, ())
            if wanted == project:
                # Before the etag is checked: a caller that repeats a finished update still sends the old etag.
                return SeenProject(project, roles)
            check_etag(etag, project)
            changed = replace(wanted, version=project.version + 1, update_time=now)
            await unit.projects.update(changed)
            if changed.cve_allowlist != project.cve_allowlist:
                await unit.cve_allowlists.put(project_id, changed.cve_allowlist)
            change = change_of(ChangeKind.PROJECT_CHANGED, requester.origin, now, old=project, new=changed)
            unit.record(change)
            if project.public and not changed.public:
                unit.revoke(loss_of_publicity(project))
            await unit.commit()
        _log.info(
            "project_changed",
            project_id=project_id,
            project=changed.name,
            public=changed.public,
            fields=sorted(change.new or {}),
            actor=str(requester.origin.actor),
        )
        return SeenProject(changed, roles)

    return await ports.store.repeat(work)


async def delete_project(ports: Ports, origin: ChangeOrigin, project_id: int) -> None:
    """Deletes a project's row, members and robots. The interceptor has already checked that metasvc calls.

    A project that is already gone is not an error, because metasvc repeats the call when an answer was lost.
    """

    async def work() -> None:
        now = ports.clock()
        async with ports.store.write() as unit:
            project = await unit.projects.lock(project_id)
            if project is None:
                return
            await unit.projects.remove(project_id)
            unit.record(change_of(ChangeKind.PROJECT_DELETED, origin, now, old=project))
            await unit.commit()
        _log.info("project_deleted", project_id=project_id, project=project.name, actor=str(origin.actor))

    await ports.store.repeat(work)


def _limit(caller: Caller, wanted: int | None, configuration: Configuration) -> int:
    if not configuration.quota_per_project_enable:
        return NO_LIMIT
    default = configuration.storage_per_project_bytes
    # Harbor's clients send 0 for the default, and -1 for every user. So a limit that equals the default needs no right.
    if not wanted or wanted == default:
        return default
    if not _acts_as_administrator(caller):
        if wanted == NO_LIMIT:
            return default
        raise Denied(message="only an administrator may set a storage limit")
    return wanted


def _acts_as_administrator(caller: Caller) -> bool:
    """Whether a caller who may create projects counts as an administrator there, as in Harbor.

    Robots do: they have been given `project:create` on the system level. Users may create projects in most
    installations, so that they may says nothing.
    """
    return caller.is_administrator or caller.kind == "robot"


def _refuse_registry(caller: Caller, registry_id: int) -> NoReturn:
    """Refuses a project that is the proxy of a registry, with Harbor's texts: there are no registries yet."""
    if not _acts_as_administrator(caller):
        raise Denied(message="Only system admin can create proxy cache project")
    known = f"failed to get the registry {registry_id}: registry {registry_id} not found"
    invalid = f"{registry_id} is invalid value of registry_id, it should be greater than 0"
    message = known if registry_id > 0 else invalid
    raise Invalid(message=message, violations=[FieldViolation("registry_id", "names no registry")])
