"""`roadstead admin refresh-tokens`."""

from argparse import ArgumentTypeError, Namespace

from ctl.admin.command import Column, Command, Noun, Outcome, argument
from ctl.admin.listing import LIMIT, asked
from ctl.admin.nouns.robots import robot_named
from ctl.admin.nouns.users import user_named
from ctl.admin.rest import Refused, path
from ctl.admin.session import Session, say
from ctl.errors import CommandError

_SEGMENT = "refresh-tokens"


def _list(session: Session, options: Namespace) -> Outcome:
    _, where = _holder(session, options)
    return session.api.rows(where, **asked(options))


def _revoke(session: Session, options: Namespace) -> Outcome:
    name, where = _holder(session, options)
    try:
        session.api.call("DELETE", f"{where}/{options.token}")
    except Refused as refused:
        if refused.http_status == 404:
            raise CommandError(
                f"{name} has no refresh token {options.token}, or it has ended already; "
                f"`roadstead admin refresh-tokens list {_whose(options)}` shows those that work"
            ) from refused
        raise
    say(f"the refresh token {options.token} of {name} is revoked; whoever used it has to log in again")
    return None


def _holder(session: Session, options: Namespace) -> tuple[str, str]:
    """The name of the user or robot, and the path of its tokens."""
    if options.user is not None:
        if options.project is not None:
            raise CommandError("--project says where a robot is; name it with --robot, or leave --project out", 2)
        user = user_named(session, options.user)
        return user["username"], path("users", user["user_id"], _SEGMENT)
    if options.robot is None:
        raise CommandError("say whose: --user USER, or --robot ROBOT", 2)
    robot = robot_named(session, options.robot, options.project)
    return robot["name"], path("robots", robot["id"], _SEGMENT)


def _whose(options: Namespace) -> str:
    if options.user is not None:
        return f"--user {options.user}"
    return f"--robot '{options.robot}'" + (f" --project {options.project}" if options.project else "")


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 2**63:
        # It may be a token, which must not be repeated.
        raise ArgumentTypeError("it is not an id; `list` shows the ids")
    return int(text)


_OF = (
    argument("--user", exclusive="holder", metavar="USER", help="whose they are: the login name of a user"),
    argument(
        "--robot",
        exclusive="holder",
        metavar="ROBOT",
        help="whose they are: a robot, by its name, in full or without prefix and project, or its id",
    ),
    argument("--project", metavar="PROJECT", help="the robot is one of this project (default: of the system level)"),
)

REFRESH_TOKENS = Noun(
    "refresh-tokens",
    "what clients keep in place of a password after `docker login`",
    columns=(
        Column("ID", "id"),
        Column("CLIENT", "client_id"),
        Column("CREATED", "creation_time"),
        Column("CREATED-FROM", "creation_address"),
        Column("USED", "last_use_time"),
        Column("USED-FROM", "last_use_address"),
        Column("EXPIRES", "expiration_time"),
    ),
    commands=(
        Command("list", "list the refresh tokens that work, the newest first", _list, (*_OF, LIMIT)),
        Command(
            "revoke",
            "end a refresh token at once",
            _revoke,
            (argument("token", type=_id, metavar="ID", help="as `list` shows it"), *_OF),
            has_output=False,
        ),
    ),
)
