"""Projects: their names, visibility and settings. What they store is metasvc's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.model import Identity, Project
from authsvc.domain.permission import PROJECT_ADMIN_ROLE
from authsvc.domain.project_settings import parse_settings
from svckit.errors import Conflict, Denied, FieldViolation, Invalid, NotFound, Precondition, from_oci_error
from svckit.idempotency import made_is_gone
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.logging import get_logger
from svckit.oci.errors import NameInvalidError
from svckit.oci.repository import ProjectName
from svckit.query import Clause, Exact, Fuzzy, Key, Order

if TYPE_CHECKING:
    from authsvc.domain.model import Caller
    from authsvc.domain.ports import Clock, Store, Unit
    from svckit.idempotency import IdempotencyKey

_log = get_logger(__name__)

NO_LIMIT = -1
_MAXIMUM_LIMIT_BYTES = 2**63 - 1


_LISTING: Listing[Project] = Listing(
    name="projects",
    sort_keys={
        "name": SortKey(str, lambda project: project.name),
        "creation_time": SortKey(datetime, lambda project: project.create_time),
        "project_id": SortKey(int, lambda project: project.id),
    },
    default_order=(Order("name"),),
    keys={
        "name": Key("name"),
        "public": Key("public", bool),
        "owner": Key("owner_name"),
        "owner_name": Key("owner_name"),
        "project_id": Key("project_id", int),
    },
    unique_key="project_id",
)


@dataclass(frozen=True, slots=True)
class SeenProject:
    """A project as one caller sees it: with the roles that the caller has in it, strongest first."""

    project: Project
    role_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project to be created.

    Attributes:
        name: by Harbor's rule.
        public: whether anybody may pull.
        settings: by Harbor's names, without "public".
        storage_limit_bytes: -1 for no limit; None for the default.
    """

    name: str
    public: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    storage_limit_bytes: int | None = None

    @classmethod
    def parse(
        cls, name: str, *, public: bool | None, settings: Mapping[str, str], storage_limit_bytes: int | None
    ) -> NewProject:
        """Reads a request.

        Raises:
            DomainError: NAME_INVALID, BAD_REQUEST.
        """
        try:
            ProjectName.parse(name)
        except NameInvalidError as error:
            raise from_oci_error(error) from error
        kept, is_public = parse_settings(settings, public)
        if storage_limit_bytes is not None and storage_limit_bytes != NO_LIMIT and storage_limit_bytes <= 0:
            raise Invalid(
                message="storage_limit is -1 for no limit, or more than 0",
                violations=[FieldViolation("storage_limit", "is -1, or more than 0")],
            )
        return cls(name, bool(is_public), kept, storage_limit_bytes)


async def create_project(
    store: Store,
    clock: Clock,
    identity: Identity,
    new: NewProject,
    *,
    key: IdempotencyKey | None = None,
    default_storage_limit_bytes: int,
) -> SeenProject:
    """Creates a project that the caller owns, as its first project administrator.

    A repeat with the same idempotency key answers with the project that the first call created.

    Raises:
        DomainError: CONFLICT, the name is taken, or the key was used for another request; FORBIDDEN, the caller is no
            user, or sets a limit and is no administrator; UNAUTHORIZED.
    """

    async def work() -> SeenProject:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            if caller.kind != "user":
                raise Denied(message="a project needs an owner, and robots cannot own")
            limit = _limit(caller, new.storage_limit_bytes, default_storage_limit_bytes)
            first = await unit.idempotency.claim(key, now)
            if first is not None:
                project = await unit.projects.get(first.made_id)
                if project is None:
                    raise made_is_gone()
                roles = await unit.members.roles_of(caller.id, [project.id])
                return SeenProject(project, roles.get(project.id, ()))
            project_id = await unit.projects.add(
                name=new.name,
                owner_id=caller.id,
                public=new.public,
                settings=new.settings,
                initial_storage_limit_bytes=limit,
                now=now,
            )
            if project_id is None:
                raise Conflict(message=f"the project {new.name} exists already")
            await unit.members.add(project_id, caller.id, PROJECT_ADMIN_ROLE, now)
            await unit.idempotency.remember(key, project_id)
            project = await _existing(unit, project_id)
            await unit.commit()
        _log.info("project_created", project_id=project_id, project=new.name, public=new.public, actor=caller.subject)
        return SeenProject(project, (PROJECT_ADMIN_ROLE,))

    return await store.repeat(work)


async def get_project(store: Store, clock: Clock, identity: Identity | None, project_id: int) -> SeenProject:
    """Reads a project, with the caller's roles. Whether the caller may is judged before.

    Raises:
        DomainError: PROJECT_UNKNOWN, UNAUTHORIZED.
    """
    async with store.read() as unit:
        caller = await identify(unit, identity, clock())
        project = await _existing(unit, project_id)
        roles = await unit.members.roles_of(caller.user_id, [project_id])
        return SeenProject(project, roles.get(project_id, ()))


async def look_up_project(store: Store, project_id: int | None, name: str | None) -> Project:
    """Reads a project by id or name, whoever may see it.

    Raises:
        DomainError: PROJECT_UNKNOWN.
    """
    async with store.read() as unit:
        if project_id is not None:
            return await _existing(unit, project_id)
        project = await unit.projects.by_name(name or "")
    if project is None:
        raise NotFound("PROJECT_UNKNOWN")
    return project


async def check_project_name(store: Store, clock: Clock, identity: Identity, name: str) -> None:
    """Returns if there is a project of that name, seen or unseen.

    Raises:
        DomainError: PROJECT_UNKNOWN; UNAUTHORIZED, the caller is disabled, expired or gone.
    """
    async with store.read() as unit:
        await identify(unit, identity, clock())
    await look_up_project(store, None, name)


async def list_projects(
    store: Store,
    clock: Clock,
    identity: Identity | None,
    request: ListRequest,
    *,
    name: str = "",
    public: bool | None = None,
    owner: str = "",
) -> Page[SeenProject]:
    """Lists what the caller may see: public projects, its own, and all for an administrator.

    Args:
        store: of projects.
        clock: the time.
        identity: who calls.
        request: which page of which.
        name: part of the name.
        public: only public, or only private ones.
        owner: login name of the owner.

    Raises:
        DomainError: BAD_REQUEST, INVALID_PAGE_TOKEN; UNAUTHORIZED.
    """
    fixed: list[Clause] = []
    if name:
        fixed.append(Fuzzy("name", name))
    if public is not None:
        fixed.append(Exact("public", public))
    if owner:
        fixed.append(Exact("owner_name", owner))
    async with store.read() as unit:
        caller = await identify(unit, identity, clock())
        page = await _LISTING.page(
            request,
            lambda selection: unit.projects.page(caller, replace(selection, clauses=(*fixed, *selection.clauses))),
            lambda clauses: unit.projects.count(caller, (*fixed, *clauses)),
            scope=(name, public, owner),
        )
        roles = await unit.members.roles_of(caller.user_id, [project.id for project in page.items])
    seen = tuple(SeenProject(project, roles.get(project.id, ())) for project in page.items)
    return Page(seen, page.next_page_token, page.total_size)


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What to change of a project.

    Attributes:
        settings: to set; those that are not named stay.
        public: None leaves as it is.
        etag: of the project that was read; empty to overwrite whatever is there.
        name: must be the project's own, where it is not empty.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    public: bool | None = None
    etag: str = ""
    name: str = ""

    @classmethod
    def parse(cls, *, settings: Mapping[str, str], public: bool | None, etag: str, name: str) -> ProjectChange:
        """Reads a request.

        Raises:
            DomainError: BAD_REQUEST.
        """
        kept, is_public = parse_settings(settings, public)
        return cls(kept, is_public, etag, name)


async def update_project(
    store: Store, clock: Clock, identity: Identity, project_id: int, change: ProjectChange
) -> SeenProject:
    """Changes a project's settings. Whether the caller may is judged before.

    Raises:
        DomainError: PROJECT_UNKNOWN; PRECONDITION, another change came first; BAD_REQUEST, another name.
    """

    async def work() -> SeenProject:
        now = clock()
        async with store.write() as unit:
            caller = await identify(unit, identity, now)
            project = await unit.projects.lock(project_id)
            if project is None:
                raise NotFound("PROJECT_UNKNOWN")
            if change.name and change.name != project.name:
                raise Invalid(
                    message="the name of a project does not change",
                    violations=[FieldViolation("project_name", "is not the project's own")],
                )
            if change.etag and change.etag != project.etag:
                raise Precondition(message="the project has been changed since it was read")
            changed = replace(
                project,
                public=project.public if change.public is None else change.public,
                settings={**project.settings, **change.settings},
                version=project.version + 1,
                update_time=now,
            )
            await unit.projects.update(changed)
            roles = await unit.members.roles_of(caller.user_id, [project_id])
            await unit.commit()
        _log.info(
            "project_changed",
            project_id=project_id,
            project=changed.name,
            public=changed.public,
            settings=sorted(change.settings),
            actor=caller.subject,
        )
        return SeenProject(changed, roles.get(project_id, ()))

    return await store.repeat(work)


async def delete_project(store: Store, project_id: int, actor: str) -> None:
    """Deletes a project's row, members and robots.

    One that is gone is no error: the answer to a first call may have been lost.
    """

    async def work() -> bool:
        async with store.write() as unit:
            removed = await unit.projects.remove(project_id)
            await unit.commit()
            return removed

    if await store.repeat(work):
        _log.info("project_deleted", project_id=project_id, actor=actor)


def _limit(caller: Caller, wanted: int | None, default: int) -> int:
    if wanted is None:
        return default
    # Clients of Harbor send -1 whoever they are; what changes nothing needs no right.
    if wanted != default and not caller.is_administrator:
        raise Denied(message="only an administrator sets a storage limit")
    return min(wanted, _MAXIMUM_LIMIT_BYTES)


async def _existing(unit: Unit, project_id: int) -> Project:
    project = await unit.projects.get(project_id)
    if project is None:
        raise NotFound("PROJECT_UNKNOWN")
    return project
