"""`roadstead admin members`."""

from argparse import Namespace

from ctl.admin.command import Column, Command, Noun, Outcome, argument
from ctl.admin.listing import FILTERED, asked, exactly
from ctl.admin.nouns.projects import PROJECT, project_named
from ctl.admin.rest import PREFIX, Refused, Row, path
from ctl.admin.session import Session, say
from ctl.errors import CommandError

ROLES = {"projectAdmin": 1, "maintainer": 4, "developer": 2, "guest": 3, "limitedGuest": 5}
"""Harbor's ids of the roles, by name, the strongest first."""

_TYPES = {"u": "user", "g": "group"}


def _list(session: Session, options: Namespace) -> Outcome:
    project_named(session, options.project)
    return session.api.rows(path("projects", options.project, "members"), **asked(options))


def _show(session: Session, options: Namespace) -> Outcome:
    return _member(session, options)


def _add(session: Session, options: Namespace) -> Outcome:
    project_named(session, options.project)
    body: Row = {"role_id": ROLES[options.role]}
    if options.group:
        body["member_group"] = {"id": _group_id(session, options.member)}
    else:
        body["member_user"] = {"username": options.member}
    try:
        return session.api.create(path("projects", options.project, "members"), body)
    except Refused as refused:
        if refused.http_status == 404:
            # The project was there a moment ago.
            raise CommandError(
                f"there is no user {options.member}; `roadstead admin users list` shows all"
            ) from refused
        raise


def _change(session: Session, options: Namespace) -> Outcome:
    member = _member(session, options)
    at = path("projects", options.project, "members", member["id"])
    session.api.call("PUT", at, {"role_id": ROLES[options.role]}, etag=member.get("etag", ""))
    return session.api.changed(at)


def _remove(session: Session, options: Namespace) -> Outcome:
    member = _member(session, options)
    session.api.call("DELETE", path("projects", options.project, "members", member["id"]))
    say(f"{_kind(options)} {options.member} is no member of {options.project} any more")
    return None


def _member(session: Session, options: Namespace) -> Row:
    project_named(session, options.project)
    found = session.api.rows(
        path("projects", options.project, "members"),
        limit=1,
        q=f"{exactly('entity_name', options.member)},entity_type={'g' if options.group else 'u'}",
    )
    if not found:
        raise CommandError(
            f"{_kind(options)} {options.member} is no member of {options.project}; "
            f"`roadstead admin members list {options.project}` shows all"
        )
    return found[0]


def _group_id(session: Session, name: str) -> int:
    for group in session.api.rows(path("usergroups"), group_name=name):
        if group["group_name"] == name:
            return int(group["id"])
    raise CommandError(f"there is no group {name}; `GET {PREFIX}/usergroups` shows all, and `POST` makes one")


def _kind(options: Namespace) -> str:
    return "the group" if options.group else "the user"


_MEMBER = argument("member", help="the login name of the user, or the name of the group")
_GROUP = argument("--group", action="store_true", help="it is a group")
_ROLE = argument("--role", required=True, choices=tuple(ROLES), help="what the member may do")

MEMBERS = Noun(
    "members",
    "users and groups with a role in a project",
    columns=(
        Column("ID", "id"),
        Column("MEMBER", "entity_name"),
        Column("TYPE", "entity_type", lambda kind: _TYPES.get(kind, "-")),
        Column("ROLE", "role_name"),
    ),
    commands=(
        Command("list", "list the members of a project", _list, (PROJECT, *FILTERED)),
        Command("show", "show a member", _show, (PROJECT, _MEMBER, _GROUP)),
        Command("add", "give a user or a group a role in a project", _add, (PROJECT, _MEMBER, _GROUP, _ROLE)),
        Command("change", "give a member another role", _change, (PROJECT, _MEMBER, _GROUP, _ROLE)),
        Command(
            "remove",
            "take the role of a member away",
            _remove,
            (PROJECT, _MEMBER, _GROUP),
            asks="remove {member} from the project {project}",
            has_output=False,
        ),
    ),
)
