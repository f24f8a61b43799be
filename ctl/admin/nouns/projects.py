"""`roadstead admin projects`."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ctl.admin.assignment import parse_assignment
from ctl.admin.command import Column, Command, Noun, Outcome, argument
from ctl.admin.listing import FILTERED, asked
from ctl.admin.rest import Refused, Row, path
from ctl.admin.session import Session, say
from ctl.admin.size import parse_size
from ctl.admin.steps import done_so_far
from ctl.errors import CommandError


def project_named(session: Session, name: str) -> Row:
    """A project, by name.

    Raises:
        CommandError: there is none of this name, or the user may not see it.
    """
    with known_project(session, name):
        project: Row = session.api.get(path("projects", name))
    return project


@contextmanager
def known_project(session: Session, name: str) -> Iterator[None]:
    """Says of a 404 inside the block that the project is not there, and where to look.

    Raises:
        CommandError: there is no project of this name, or the user may not see it.
    """
    try:
        yield
    except Refused as refused:
        if refused.http_status == 404:
            raise CommandError(
                f"there is no project {name} that {session.target.user} may see; "
                "`roadstead admin projects list` shows those that are there"
            ) from refused
        raise


def _list(session: Session, options: Namespace) -> Outcome:
    return session.api.rows(path("projects"), **asked(options))


def _show(session: Session, options: Namespace) -> Outcome:
    return project_named(session, options.project)


def _create(session: Session, options: Namespace) -> Outcome:
    metadata = {**dict(options.set), "public": "true" if options.public else "false"}
    body: Row = {"project_name": options.project, "metadata": metadata}
    if options.storage_limit is not None:
        body["storage_limit"] = options.storage_limit
    return session.api.create(path("projects"), body)


def _update(session: Session, options: Namespace) -> Outcome:
    metadata = dict(options.set)
    if options.public is not None:
        metadata["public"] = "true" if options.public else "false"
    if not metadata and options.storage_limit is None:
        raise CommandError("nothing to change; name --public, --private, --storage-limit or --set", 2)
    api = session.api
    project = project_named(session, options.project)
    # The limit is in an object of its own.
    quota_at = path("quotas", project["project_id"])
    quota: Row = {} if options.storage_limit is None else api.get(quota_at)
    if metadata:
        api.call("PUT", path("projects", options.project), {"metadata": metadata}, etag=project.get("etag", ""))
    if options.storage_limit is not None:
        limit = {"hard": {"storage": options.storage_limit}}
        what = f"the settings of {options.project} are changed, and its limit is not"
        go_on = f"roadstead admin quotas set {options.project} {options.storage_limit}"
        with done_so_far(what, go_on) if metadata else nullcontext():
            api.call("PUT", quota_at, limit, etag=quota.get("etag", ""))
    return api.changed(path("projects", options.project))


def _delete(session: Session, options: Namespace) -> Outcome:
    project_named(session, options.project)
    session.api.call("DELETE", path("projects", options.project))
    say(f"the project {options.project} is deleted")
    return None


def _public(value: str | None) -> str:
    return "yes" if value == "true" else "no"


PROJECT = argument("project", help="the name of the project")
_PUBLIC = argument(
    "--public", exclusive="public", action="store_const", const=True, help="everybody may pull, without logging in"
)
_LIMIT = argument(
    "--storage-limit", type=parse_size, metavar="SIZE", help="how much it may store, such as 10GiB, or `unlimited`"
)
_SET = argument(
    "--set",
    type=parse_assignment,
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="another setting by Harbor's name, such as `severity=high`; may be repeated",
)

PROJECTS = Noun(
    "projects",
    "projects, and who may pull from them",
    columns=(
        Column("ID", "project_id"),
        Column("PROJECT", "name"),
        Column("PUBLIC", "metadata.public", _public),
        Column("OWNER", "owner_name"),
        Column("REPOSITORIES", "repo_count"),
        Column("CREATED", "creation_time"),
    ),
    commands=(
        Command("list", "list the projects that the user may see", _list, FILTERED),
        Command("show", "show a project", _show, (PROJECT,)),
        Command("create", "create a project, private unless said", _create, (PROJECT, _PUBLIC, _LIMIT, _SET)),
        Command(
            "update",
            "change a project",
            _update,
            (
                PROJECT,
                _PUBLIC,
                argument(
                    "--private",
                    exclusive="public",
                    dest="public",
                    action="store_const",
                    const=False,
                    help="only members and robots may pull",
                ),
                _LIMIT,
                _SET,
            ),
        ),
        Command(
            "delete",
            "delete a project that holds no repositories",
            _delete,
            (PROJECT,),
            asks="delete the project {project}",
            has_output=False,
        ),
    ),
)
