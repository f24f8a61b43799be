"""Projects: their names, visibility and settings, and how to read them. `project_change` creates and changes them.

The repositories of a project are in metasvc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from authsvc.domain.caller import identify
from authsvc.domain.cve_allowlist import NOTHING, CveAllowlist
from authsvc.domain.model import Identity, Project
from authsvc.domain.permission import LIST_PROJECTS
from authsvc.domain.project_settings import parse_settings
from svckit.errors import NotFound, from_oci_error
from svckit.listing import Listing, ListRequest, Page, SortKey
from svckit.oci.errors import NameInvalidError
from svckit.oci.repository import ProjectName
from svckit.query import Clause, Exact, Fuzzy, Key, Order

if TYPE_CHECKING:
    from authsvc.domain.bundle import Ports
    from authsvc.domain.rows import Unit

_LISTING: Listing[Project] = Listing(
    name="projects",
    sort_keys={
        "name": SortKey(str, lambda project: project.name),
        "creation_time": SortKey(datetime, lambda project: project.create_time),
        "update_time": SortKey(datetime, lambda project: project.update_time),
        "owner_name": SortKey(str, lambda project: project.owner_name),
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
        storage_limit_bytes: -1 for no limit; None or 0 for the default.
        cve_allowlist: the vulnerabilities that it accepts.
        registry_id: the registry whose proxy it is; None for none.
    """

    name: str
    public: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    storage_limit_bytes: int | None = None
    cve_allowlist: CveAllowlist = NOTHING
    registry_id: int | None = None

    @classmethod
    def parse(
        cls,
        name: str,
        *,
        public: bool | None,
        settings: Mapping[str, str],
        storage_limit_bytes: int | None = None,
        cve_allowlist: CveAllowlist = NOTHING,
        registry_id: int | None = None,
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
        return cls(name, bool(is_public), kept, storage_limit_bytes, cve_allowlist, registry_id)


async def get_project(ports: Ports, identity: Identity | None, project_id: int) -> SeenProject:
    """Reads a project, with the caller's roles. The interceptor has already checked "project:read".

    Raises:
        DomainError: PROJECT_UNKNOWN, UNAUTHORIZED.
    """
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        project = await existing_project(unit, project_id)
        roles = await unit.members.roles_of(caller, [project_id])
        return SeenProject(project, roles.get(project_id, ()))


async def look_up_project(ports: Ports, project_id: int | None, name: str | None) -> Project:
    """Reads a project by id or name, without a check of the caller.

    Raises:
        DomainError: PROJECT_UNKNOWN.
    """
    async with ports.store.read() as unit:
        if project_id is not None:
            return await existing_project(unit, project_id)
        project = await unit.projects.by_name(name or "")
    if project is None:
        raise NotFound("PROJECT_UNKNOWN")
    return project


async def check_project_name(ports: Ports, identity: Identity, name: str) -> None:
    """Checks that a project of that name exists, even if the caller may not see it.

    Raises:
        DomainError: PROJECT_UNKNOWN; UNAUTHORIZED, the caller is disabled, expired or gone.
    """
    async with ports.store.read() as unit:
        await identify(unit, identity, ports.clock())
    await look_up_project(ports, None, name)


async def list_projects(
    ports: Ports,
    identity: Identity | None,
    request: ListRequest,
    *,
    name: str = "",
    public: bool | None = None,
    owner: str = "",
    sees_all: bool = False,
) -> Page[SeenProject]:
    """Lists the projects that the caller may see: public ones and those of its memberships. Administrators see all.

    As in Harbor, a robot that may list projects on the system level sees all of them here. It cannot read them one by
    one.

    Args:
        ports: the ports of authsvc.
        identity: the caller.
        request: page, filter and order.
        name: a part of the project's name.
        public: True for public projects only, False for private ones only.
        owner: the login name of the owner.
        sees_all: whether the caller is a service that sees all projects.

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
    async with ports.store.read() as unit:
        caller = await identify(unit, identity, ports.clock())
        viewer = None if sees_all or LIST_PROJECTS in await unit.roles.on_system(caller) else caller
        page = await _LISTING.page(
            request,
            partial(unit.projects.page, viewer),
            partial(unit.projects.count, viewer),
            fixed=fixed,
            scope=(name, public, owner),
        )
        roles = await unit.members.roles_of(caller, [project.id for project in page.items])
    seen = tuple(SeenProject(project, roles.get(project.id, ())) for project in page.items)
    return Page(seen, page.next_page_token, page.total_size)


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What to change of a project.

    Attributes:
        settings: the settings to write; others keep their values.
        public: None keeps the value.
        etag: the etag of the project that was read; empty to overwrite any state.
        name: empty, or the project's own name.
        cve_allowlist: the list to write; None keeps it.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    public: bool | None = None
    etag: str = ""
    name: str = ""
    cve_allowlist: CveAllowlist | None = None

    @classmethod
    def parse(
        cls,
        *,
        settings: Mapping[str, str],
        public: bool | None,
        etag: str,
        name: str,
        cve_allowlist: CveAllowlist | None = None,
    ) -> ProjectChange:
        """Reads a request.

        Raises:
            DomainError: BAD_REQUEST.
        """
        kept, is_public = parse_settings(settings, public)
        return cls(kept, is_public, etag, name, cve_allowlist)


async def existing_project(unit: Unit, project_id: int) -> Project:
    """Reads a project.

    Raises:
        DomainError: PROJECT_UNKNOWN.
    """
    project = await unit.projects.get(project_id)
    if project is None:
        raise NotFound("PROJECT_UNKNOWN")
    return project
