"""The settings of a project one by one, as Harbor's clients read and write them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from authsvc.domain.project import get_project
from authsvc.domain.project_change import change_project
from authsvc.domain.project_settings import PUBLIC, SETTINGS
from svckit.errors import Conflict, FieldViolation, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authsvc.domain.bundle import Ports
    from authsvc.domain.model import Identity, Project, Requester

# Harbor takes no other keys one by one.
_KEYS = frozenset(
    {PUBLIC, "enable_content_trust", "enable_content_trust_cosign", "prevent_vul", "auto_scan", "severity"}
)


async def list_metadata(ports: Ports, identity: Identity | None, project_id: int) -> dict[str, str]:
    """All settings, "public" among them.

    Raises:
        DomainError: PROJECT_UNKNOWN, UNAUTHORIZED.
    """
    return all_settings((await get_project(ports, identity, project_id)).project)


def all_settings(project: Project) -> dict[str, str]:
    """The settings of a project with "public", which has a column of its own."""
    return {**project.settings, PUBLIC: "true" if project.public else "false"}


def parse_one(metadata: Mapping[str, str]) -> tuple[str, str]:
    """The one key of a request, and its value in the form in which it is stored.

    Raises:
        DomainError: BAD_REQUEST, with Harbor's texts.
    """
    if len(metadata) != 1:
        _refuse("only allow one key/value pair")
    [(name, stated)] = metadata.items()
    if name not in _KEYS:
        _refuse(f"invalid key: {name[:64]}")
    try:
        return name, SETTINGS[name](stated)
    except ValueError:
        _refuse(f"invalid value: {stated[:64]}")


async def add_metadata(ports: Ports, requester: Requester, project_id: int, name: str, value: str) -> None:
    """Adds a setting. Access was checked before.

    Raises:
        DomainError: CONFLICT, the project has it; PRECONDITION, nothing would enforce it; PROJECT_UNKNOWN.
    """

    def add(project: Project) -> Project:
        if name == PUBLIC or name in project.settings:
            raise Conflict(message=f"the project has the metadata {name} already")
        return _with(project, name, value)

    await change_project(ports, requester, project_id, add)


async def set_metadata(ports: Ports, requester: Requester, project_id: int, name: str, value: str) -> None:
    """Sets a setting. Raises as `add_metadata`, without CONFLICT."""
    await change_project(ports, requester, project_id, lambda project: _with(project, name, value))


async def delete_metadata(ports: Ports, requester: Requester, project_id: int, name: str) -> None:
    """Removes a setting. A project without "public" is private, as in Harbor.

    Raises:
        DomainError: PROJECT_UNKNOWN.
    """

    def remove(project: Project) -> Project:
        if name == PUBLIC:
            return replace(project, public=False)
        return replace(project, settings={key: value for key, value in project.settings.items() if key != name})

    await change_project(ports, requester, project_id, remove)


def _with(project: Project, name: str, value: str) -> Project:
    if name == PUBLIC:
        return replace(project, public=value == "true")
    return replace(project, settings={**project.settings, name: value})


def _refuse(message: str) -> NoReturn:
    raise Invalid(message=message, violations=[FieldViolation("metadata", message)])
