"""`roadstead admin quotas`."""

from argparse import Namespace

from ctl.admin.command import Column, Command, Noun, Outcome, argument
from ctl.admin.listing import LIMIT, SORT, asked
from ctl.admin.nouns.projects import PROJECT, project_named
from ctl.admin.rest import Row, path
from ctl.admin.session import Session
from ctl.admin.size import parse_size, shown_size


def _list(session: Session, options: Namespace) -> Outcome:
    return session.api.rows(path("quotas"), **asked(options))


def _show(session: Session, options: Namespace) -> Outcome:
    return _quota(session, options.project)


def _set(session: Session, options: Namespace) -> Outcome:
    quota = _quota(session, options.project)
    at = path("quotas", quota["id"])
    session.api.call("PUT", at, {"hard": {"storage": options.size}}, etag=quota.get("etag", ""))
    return session.api.changed(at)


def _quota(session: Session, project: str) -> Row:
    quota: Row = session.api.get(path("quotas", project_named(session, project)["project_id"]))
    return quota


QUOTAS = Noun(
    "quotas",
    "how much projects store, and may store",
    columns=(
        Column("ID", "id"),
        Column("PROJECT", "ref.name"),
        Column("USED", "used.storage", shown_size),
        Column("LIMIT", "hard.storage", shown_size),
    ),
    commands=(
        Command("list", "list the quotas of the projects to which something was pushed", _list, (SORT, LIMIT)),
        Command("show", "show the quota of a project", _show, (PROJECT,)),
        Command(
            "set",
            "limit how much a project may store",
            _set,
            (PROJECT, argument("size", type=parse_size, help="such as 10GiB, 500MB, 1048576, or `unlimited`")),
        ),
    ),
)
