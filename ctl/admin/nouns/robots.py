"""`roadstead admin robots`."""

import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

from ctl.admin.command import Column, Command, Noun, Outcome, argument, shown_enabled
from ctl.admin.listing import FILTERED, asked, exactly
from ctl.admin.nouns.projects import known_project, project_named
from ctl.admin.rest import Row, path
from ctl.admin.secret import new_secret_file
from ctl.admin.session import Session, say
from ctl.errors import CommandError

_SYSTEM = "/"
_FOREVER = -1


def robot_named(session: Session, name: str, project: str | None) -> Row:
    """A robot, by its name in full, its name without prefix and project, or its id.

    Args:
        session: of the command.
        name: the name, or the id.
        project: the project that it belongs to; None for the system level.

    Raises:
        CommandError: there is none of this name, or the user may not see it.
    """
    where = _robots(session, project)
    if name.isascii() and name.isdigit():
        robot: Row = session.api.get(f"{where}/{name}")
        return robot
    # In full, a name begins with a prefix that the installation sets, and goes on with the project. `q` takes the rest.
    short = name.rpartition("+" if project else "$")[2]
    for found in session.api.rows(where, limit=1, q=exactly("name", short)):
        if name in {short, found["name"]}:
            return found
    level = f"in the project {project}" if project else "on the system level"
    listing = f"robots list --project {project}" if project else "robots list"
    raise CommandError(f"there is no robot {name} {level}; `roadstead admin {listing}` shows all")


def _list(session: Session, options: Namespace) -> Outcome:
    return session.api.rows(_robots(session, options.project), **asked(options))


def _show(session: Session, options: Namespace) -> Outcome:
    return robot_named(session, options.robot, options.project)


def _create(session: Session, options: Namespace) -> Outcome:
    body: Row = {
        "name": options.robot,
        "description": options.description or "",
        "level": "project" if options.project else "system",
        "duration": options.days,
        "disable": options.disabled,
        "permissions": _permissions(options),
    }

    def create() -> Row:
        with known_project(session, options.project) if options.project else nullcontext():
            made: Row = session.api.call("POST", path("robots"), body)
        return made

    return _with_secret(options, create)


def _update(session: Session, options: Namespace) -> Outcome:
    changes: Row = {}
    if options.description is not None:
        changes["description"] = options.description
    if options.days is not None:
        changes["duration"] = options.days
    if options.allow or options.deny:
        changes["permissions"] = _permissions(options)
    if not changes:
        raise CommandError("nothing to change; name --description, --days, --allow or --deny", 2)
    return _put(session, options, changes)


def _enable(session: Session, options: Namespace) -> Outcome:
    return _put(session, options, {"disable": False})


def _disable(session: Session, options: Namespace) -> Outcome:
    return _put(session, options, {"disable": True})


def _refresh(session: Session, options: Namespace) -> Outcome:
    def refresh() -> Row:
        robot = robot_named(session, options.robot, options.project)
        answer: Row = session.api.call("PATCH", path("robots", robot["id"]), {})
        return {"id": robot["id"], "name": robot["name"], **answer}

    return _with_secret(options, refresh)


def _delete(session: Session, options: Namespace) -> Outcome:
    robot = robot_named(session, options.robot, options.project)
    session.api.call("DELETE", path("robots", robot["id"]))
    say(f"the robot {robot['name']} is deleted")
    return None


def _catalogue(session: Session, _options: Namespace) -> Outcome:
    catalogue: Row = session.api.get(path("permissions"))
    return catalogue


def _put(session: Session, options: Namespace, changes: Row) -> Row:
    robot = robot_named(session, options.robot, options.project)
    kept = ("name", "level", "description", "disable", "duration", "permissions")
    body = {**{name: robot[name] for name in kept}, **changes}
    session.api.call("PUT", path("robots", robot["id"]), body, etag=robot.get("etag", ""))
    return session.api.changed(path("robots", robot["id"]))


def _with_secret(options: Namespace, make: Callable[[], Row]) -> Row:
    """Makes a secret, and takes it to where it was wanted. It cannot be read again, so that is asked for before."""
    if options.secret_file is None and not options.json:
        raise CommandError("the secret is shown only once; say where it goes: --secret-file FILE, or --json", 2)
    with ExitStack() as stack:
        file = None if options.secret_file is None else stack.enter_context(new_secret_file(options.secret_file))
        made: Row = make()
        if file is not None:
            file.write(made.pop("secret"))
            say(f"the secret of {made['name']} is in {options.secret_file}")
    return made


def _robots(session: Session, project: str | None) -> str:
    if project is None:
        return path("robots")
    project_named(session, project)
    return path("projects", project, "robots")


def _permissions(options: Namespace) -> list[Row]:
    """The permissions in the API's form: by where they hold."""
    grouped: dict[str, list[Row]] = {}
    for effect, given in (("", options.allow), ("deny", options.deny)):
        for where, resource, action in given:
            namespace = options.project if where is None else where
            if namespace is None:
                raise CommandError(
                    f"say where {resource}:{action} holds: PROJECT/{resource}:{action}, '*/{resource}:{action}' for "
                    f"all projects, or /{resource}:{action} for the system level",
                    2,
                )
            access = {"resource": resource, "action": action}
            grouped.setdefault(namespace, []).append({**access, "effect": effect} if effect else access)
    if not grouped:
        raise CommandError("a robot needs a permission; `roadstead admin robots permissions` shows all", 2)
    return [
        {"kind": "system" if namespace == _SYSTEM else "project", "namespace": namespace, "access": access}
        for namespace, access in grouped.items()
    ]


def _permission(text: str) -> tuple[str | None, str, str]:
    """Where it holds (None if that is not said), the resource and the action, of "team/repository:pull"."""
    where, slash, permission = text.rpartition("/")
    resource, _, action = permission.partition(":")
    if not resource or not action or "/" in where:
        raise ArgumentTypeError(f"{text!r} is not [WHERE/]RESOURCE:ACTION, such as repository:pull")
    return (where or _SYSTEM) if slash else None, resource, action


def _days(text: str) -> int:
    if text == "forever":
        return _FOREVER
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is neither a number of days nor `forever`")
    return int(text)


def _expiry(seconds: int | None) -> str:
    if seconds is None or seconds == _FOREVER:
        return "never"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _shown_permissions(permissions: list[Row] | None) -> str:
    return " ".join(
        f"{'!' if access.get('effect') == 'deny' else ''}{group['namespace'].rstrip('/')}/"
        f"{access['resource']}:{access['action']}"
        for group in permissions or []
        for access in group["access"]
    )


def _catalogue_rows(catalogue: Row) -> list[Row]:
    return [{"level": level, **access} for level in ("project", "system") for access in catalogue[level]]


_ROBOT = argument("robot", help="its name, in full or without prefix and project, or its id")
_PROJECT = argument("--project", metavar="PROJECT", help="the robots of this project (default: of the system level)")
_DESCRIPTION = argument("--description", help="free text")
_ALLOW = argument(
    "--allow",
    type=_permission,
    action="append",
    default=[],
    metavar="[WHERE/]RESOURCE:ACTION",
    help="what it may do, such as `team/repository:pull`; WHERE is a project, `*` for all, or empty for the system "
    "level, and may be left out with --project; may be repeated",
)
_DENY = argument(
    "--deny",
    type=_permission,
    action="append",
    default=[],
    metavar="[WHERE/]RESOURCE:ACTION",
    help="what it may not do, whatever allows it; may be repeated",
)
_SECRET_FILE = argument(
    "--secret-file", type=Path, metavar="FILE", help="write the secret into this new file, which only you can read"
)
_COLUMNS = (
    Column("ID", "id"),
    Column("ROBOT", "name"),
    Column("LEVEL", "level"),
    Column("ENABLED", "disable", shown_enabled),
    Column("EXPIRES", "expires_at", _expiry),
    Column("DESCRIPTION", "description"),
)
_WITH_PERMISSIONS = (*_COLUMNS, Column("PERMISSIONS", "permissions", _shown_permissions))
_MADE = (Column("ID", "id"), Column("ROBOT", "name"))

ROBOTS = Noun(
    "robots",
    "accounts for programs, of a project or of the system level",
    columns=_COLUMNS,
    commands=(
        Command("list", "list robots", _list, (_PROJECT, *FILTERED)),
        Command("show", "show a robot with its permissions", _show, (_ROBOT, _PROJECT), columns=_WITH_PERMISSIONS),
        Command(
            "create",
            "create a robot; its secret is shown only now",
            _create,
            (
                argument("robot", help="its name, without prefix and project"),
                _PROJECT,
                _ALLOW,
                _DENY,
                argument(
                    "--days",
                    type=_days,
                    default=30,
                    metavar="N",
                    help="how long it is valid, or `forever` (default: 30)",
                ),
                _DESCRIPTION,
                argument("--disabled", action="store_true", help="it cannot log in until it is enabled"),
                _SECRET_FILE,
            ),
            columns=(*_MADE, Column("EXPIRES", "expires_at", _expiry)),
        ),
        Command(
            "update",
            "change a robot; permissions that are named replace all that it has",
            _update,
            (
                _ROBOT,
                _PROJECT,
                _ALLOW,
                _DENY,
                argument(
                    "--days", type=_days, metavar="N", help="how long it is valid from its creation, or `forever`"
                ),
                _DESCRIPTION,
            ),
            columns=_WITH_PERMISSIONS,
        ),
        Command(
            "refresh", "give a robot a new secret; the old one ends", _refresh, (_ROBOT, _PROJECT, _SECRET_FILE), _MADE
        ),
        Command("enable", "let a robot log in", _enable, (_ROBOT, _PROJECT)),
        Command("disable", "keep a robot from logging in", _disable, (_ROBOT, _PROJECT)),
        Command(
            "delete",
            "delete a robot",
            _delete,
            (_ROBOT, _PROJECT),
            asks="delete the robot {robot}",
            has_output=False,
        ),
        Command(
            "permissions",
            "list what robots can be allowed",
            _catalogue,
            columns=(Column("LEVEL", "level"), Column("RESOURCE", "resource"), Column("ACTION", "action")),
            view=_catalogue_rows,
        ),
    ),
)
