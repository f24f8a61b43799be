"""Writes the tables in docs/access.md: what each role may do, what robots may be given, and who may call each RPC.

They come from the rows of a new database, from the catalogue of robots' permissions, and from the contracts' options.

python -m scripts.write_access_reference            # writes them
python -m scripts.write_access_reference --check    # fails if they do not match the code
"""

import asyncio
import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from sqlalchemy import select

from authsvc.domain.permission import (
    ANYTHING,
    CREATE_PROJECT,
    ROBOT_PROJECT_PERMISSIONS,
    SYSTEM_PERMISSIONS,
    Permission,
)
from authsvc.store import migrations
from authsvc.store.tables import role, role_permission
from roadstead.access.v1 import project_ref_pb2, rule_pb2
from scripts.reference_page import write_or_check
from svckit.services import RPC_SERVICES
from svckit.sql.migrate import migrate
from svckit.sql.opening import open_database

FILE = Path(__file__).resolve().parent.parent / "docs" / "access.md"

_REST = "/api/v2.0"
_PROJECT_REF = project_ref_pb2.ProjectRef.DESCRIPTOR.full_name
_LETTERS = MappingProxyType(
    {
        "create": "C",
        "read": "R",
        "update": "U",
        "delete": "D",
        "list": "L",
        "pull": "P",
        "push": "W",
        "operate": "X",
        "stop": "S",
    }
)
_DOCUMENTS = MappingProxyType(
    {
        rule_pb2.AccessRule.DOCUMENT_UPLOAD_TICKET: "upload ticket",
        rule_pb2.AccessRule.DOCUMENT_RECEIPT: "receipt",
        rule_pb2.AccessRule.DOCUMENT_GRANT: "grant",
        rule_pb2.AccessRule.DOCUMENT_FINDING: "finding",
    }
)


def reference() -> str:
    """The text after the mark."""
    parts = [
        ["", "## What each role may do", "", _legend(), "", *_roles()],
        ["", "## What a robot may be given", "", "The letters are those of the table above.", "", *_robots()],
        ["", "## Every RPC", *chain.from_iterable(map(_service, _services()))],
    ]
    return "\n".join(chain.from_iterable(parts)) + "\n"


def _legend() -> str:
    return ", ".join(f"**{letter}** {action}" for action, letter in _LETTERS.items()) + "."


def _roles() -> Iterator[str]:
    names, held = asyncio.run(_role_rows())
    shown = {id_: name for id_, name in names.items() if ANYTHING not in held[id_]}
    yield "| Resource | " + " | ".join(f"{name} ({id_})" for id_, name in shown.items()) + " |"
    yield "|---|" + "---|" * len(shown)
    for resource in sorted({permission.resource for id_ in shown for permission in held[id_]}):
        yield _row(f"`{resource}`", *(_letters(held[id_], resource) for id_ in shown))


async def _role_rows() -> tuple[Mapping[int, str], Mapping[int, Collection[Permission]]]:
    """The names of the roles by their ids, the strongest first, and their permissions, as a new database has them."""
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(f"sqlite:///{folder}/auth.db")
        try:
            await migrate(database, migrations)
            async with database.read() as conn:
                roles = (await conn.execute(select(role.c.id, role.c.name).order_by(role.c.rank))).all()
                rows = (await conn.execute(select(role_permission))).all()
        finally:
            await database.close()
    held = {
        row.id: frozenset(Permission(of.resource, of.action) for of in rows if of.role_id == row.id) for row in roles
    }
    return {row.id: row.name for row in roles}, held


def _robots() -> Iterator[str]:
    yield "| Resource | In a project, or in every project | On the system level |"
    yield "|---|---|---|"
    for resource in sorted({permission.resource for permission in ROBOT_PROJECT_PERMISSIONS | SYSTEM_PERMISSIONS}):
        yield _row(
            f"`{resource}`", _letters(ROBOT_PROJECT_PERMISSIONS, resource), _letters(SYSTEM_PERMISSIONS, resource)
        )


def _letters(held: Collection[Permission], resource: str) -> str:
    actions = {permission.action for permission in held if permission.resource == resource}
    unknown = actions - _LETTERS.keys()
    if unknown:
        raise ValueError(f"{resource}: no letter stands for {', '.join(sorted(unknown))}")
    return " ".join(letter for action, letter in _LETTERS.items() if action in actions)


def _services() -> Iterator[tuple[str, list[MethodDescriptor]]]:
    """The services of all contracts with their methods, by the order of the alphabet."""
    for contracts in sorted(service.contracts for service in RPC_SERVICES.values()):
        package = importlib.import_module(contracts)
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith("_service_pb2"):
                descriptor = importlib.import_module(f"{contracts}.{module.name}").DESCRIPTOR
                for service in descriptor.services_by_name.values():
                    yield service.full_name.removeprefix("roadstead."), list(service.methods)


def _service(service: tuple[str, list[MethodDescriptor]]) -> Iterator[str]:
    name, methods = service
    paths = [_rest(method) for method in methods]
    heads = ["RPC", "Who may call", "Permission", "Scope", *(["Over REST"] if any(paths) else [])]
    yield from ("", f"### {name}", "", _row(*heads), "|---" * len(heads) + "|")
    for method, path in zip(methods, paths, strict=True):
        yield _row(f"`{method.name}`", *_rule(method), *([path] if any(paths) else []))


def _rule(method: MethodDescriptor) -> tuple[str, str, str]:
    """Who may call a method, the permission that it takes, and where that has to be held."""
    declared = method.GetOptions().Extensions[rule_pb2.rule]
    kind = declared.WhichOneof("kind")
    if kind is None:
        raise ValueError(f"{method.full_name} declares no access rule")
    who, permission, scope = _WORDS[kind](method, getattr(declared, kind))
    services = getattr(getattr(declared, kind), "services", ())
    return (f"{who}; {_names(services)} for themselves" if services else who), permission, scope


def _public(_method: MethodDescriptor, _rule: Any) -> tuple[str, str, str]:
    return "anybody", "", ""


def _authenticated(_method: MethodDescriptor, _rule: Any) -> tuple[str, str, str]:
    return "users and robots", "", ""


def _filtered(_method: MethodDescriptor, _rule: Any) -> tuple[str, str, str]:
    return "anybody; the answer holds what the caller may see", "", ""


def _only_services(_method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    return f"only {_names(rule.callers)}", "", ""


def _self(_method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    named = f"the user in `{rule.field}`" if rule.field else "the calling user"
    if not rule.robot_action:
        return f"{named}, administrators", "", ""
    return f"{named}, administrators, robots with the permission", f"`user:{rule.robot_action}`", "system level"


def _project(method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    return "who holds the permission", _permission(rule), _project_of(method.input_type, rule.field)


def _system(_method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    # Of all permissions of the system level, users hold this one at the most.
    is_for_users = Permission(rule.resource, rule.action) == CREATE_PROJECT
    who = "users (a setting)" if is_for_users else "administrators"
    return f"{who}, robots with the permission", _permission(rule), "system level"


def _row_rule(_method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    return "who holds the permission", _permission(rule), "where the object belongs"


def _holder(_method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    place = f"`{rule.field}`" if rule.field else "the first message"
    document = _DOCUMENTS[rule.document]
    if rule.document == rule_pb2.AccessRule.DOCUMENT_FINDING:
        return f"anybody with a {document}", "", f"{document} in {place}"
    return f"who was given the {document}", "", f"{document} in {place}"


def _each(method: MethodDescriptor, rule: Any) -> tuple[str, str, str]:
    member = method.input_type.fields_by_name[rule.members].message_type
    who = f"only {_names(rule.callers)}, for callers who hold the permission"
    return who, _permission(rule.project), f"{_project_of(member, rule.project.field)} of each member"


# One for each kind of access rule.
_WORDS: Mapping[str, Callable[[MethodDescriptor, Any], tuple[str, str, str]]] = MappingProxyType(
    {
        "public": _public,
        "authenticated": _authenticated,
        "filtered": _filtered,
        "service": _only_services,
        "self": _self,
        "project": _project,
        "system": _system,
        "row": _row_rule,
        "holder": _holder,
        "each": _each,
    }
)


def _permission(rule: Any) -> str:
    return f"`{rule.resource}:{rule.action}`"


def _project_of(message: Any, path: str) -> str:
    *outer, last = path.split(".")
    for name in outer:
        message = message.fields_by_name[name].message_type
    kind = message.fields_by_name[last].message_type
    is_reference = kind is not None and kind.full_name == _PROJECT_REF
    return f"project in `{path}`" if is_reference else f"project of the `{path}`"


def _rest(method: MethodDescriptor) -> str:
    """The first method and path under /api/v2.0; empty for an RPC that is not served there."""
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return ""
    rule = options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    verb, path = (rule.custom.kind, rule.custom.path) if verb == "custom" else (verb.upper(), getattr(rule, verb))
    return f"`{verb} {path.removeprefix(_REST)}`"


def _names(services: Collection[str]) -> str:
    return ", ".join(sorted(services))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, reference()))
