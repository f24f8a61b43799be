"""`roadstead admin users`."""

from argparse import Namespace
from pathlib import Path

from ctl.admin.command import Column, Command, Noun, Outcome, argument, shown_enabled
from ctl.admin.listing import FILTERED, asked, exactly
from ctl.admin.rest import Row, path
from ctl.admin.secret import new_password
from ctl.admin.session import Session, say
from ctl.admin.steps import done_so_far
from ctl.errors import CommandError


def user_named(session: Session, name: str) -> Row:
    """A user, by login name.

    Raises:
        CommandError: there is none of this name.
    """
    if name == session.target.user:
        # Users who may not list users may still look at themselves, and change their passwords.
        own: Row = session.api.get(path("users", "current"))
        return own
    found = session.api.rows(path("users"), limit=1, q=exactly("username", name))
    if not found:
        raise CommandError(f"there is no user {name}; `roadstead admin users list` shows all")
    return found[0]


def _at(user: Row) -> str:
    return path("users", user["user_id"])


def _list(session: Session, options: Namespace) -> Outcome:
    return session.api.rows(path("users"), **asked(options))


def _show(session: Session, options: Namespace) -> Outcome:
    return user_named(session, options.user)


def _create(session: Session, options: Namespace) -> Outcome:
    api = session.api
    body: Row = {
        "username": options.user,
        "email": options.email,
        "realname": options.realname or options.user,
        "comment": options.comment or "",
        "password": new_password(options.password_file, options.user),
    }
    user = api.create(path("users"), body)
    if options.admin:
        # Harbor's request to create a user makes no administrators.
        name: str = user["username"]
        with done_so_far(
            f"the user {name} is created, and is no administrator yet", f"roadstead admin users set-admin {name} yes"
        ):
            api.call("PUT", f"{_at(user)}/sysadmin", {"sysadmin_flag": True})
        user = api.changed(_at(user))
    return user


def _update(session: Session, options: Namespace) -> Outcome:
    given = {name: getattr(options, name) for name in ("email", "realname", "comment")}
    if not any(value is not None for value in given.values()):
        raise CommandError("nothing to change; name --email, --realname or --comment", 2)
    user = user_named(session, options.user)
    # Harbor's PUT replaces all three.
    body = {name: user.get(name, "") if value is None else value for name, value in given.items()}
    session.api.call("PUT", _at(user), body, etag=user.get("etag", ""))
    return session.api.changed(_at(user))


def _set_admin(session: Session, options: Namespace) -> Outcome:
    user = user_named(session, options.user)
    session.api.call("PUT", f"{_at(user)}/sysadmin", {"sysadmin_flag": options.admin == "yes"})
    return session.api.changed(_at(user))


def _enable(session: Session, options: Namespace) -> Outcome:
    return _set_disabled(session, options.user, is_disabled=False)


def _disable(session: Session, options: Namespace) -> Outcome:
    return _set_disabled(session, options.user, is_disabled=True)


def _set_disabled(session: Session, name: str, *, is_disabled: bool) -> Row:
    user = user_named(session, name)
    session.api.call("PUT", f"{_at(user)}/disabled", {"disabled": is_disabled})
    return session.api.changed(_at(user))


def set_password(session: Session, options: Namespace) -> Outcome:
    """Changes the password of a user. Where the next command looks for it, it is saved."""
    user = user_named(session, options.user)
    name: str = user["username"]
    password = new_password(options.password_file, name)
    body = {"new_password": password}
    if name == session.target.user:
        body["old_password"] = session.target.password
    session.api.call("PUT", f"{_at(user)}/password", body)
    session.password_changed(name, password)
    say(f"{name} has a new password")
    return None


def _delete(session: Session, options: Namespace) -> Outcome:
    user = user_named(session, options.user)
    session.api.call("DELETE", _at(user))
    say(f"the user {user['username']} is deleted")
    return None


USER = argument("user", help="the login name")
PASSWORD_FILE = argument(
    "--password-file",
    type=Path,
    metavar="FILE",
    help="a file with the new password, or `-` for standard input (default: a terminal is asked, standard input read)",
)
_REALNAME = argument("--realname", help="the name of the person")
_COMMENT = argument("--comment", help="free text, of 30 characters at most")

USERS = Noun(
    "users",
    "accounts of people",
    columns=(
        Column("ID", "user_id"),
        Column("USER", "username"),
        Column("EMAIL", "email"),
        Column("NAME", "realname"),
        Column("ADMIN", "sysadmin_flag"),
        Column("ENABLED", "disabled", shown_enabled),
        Column("CREATED", "creation_time"),
        Column("COMMENT", "comment"),
    ),
    commands=(
        Command("list", "list users", _list, FILTERED),
        Command("show", "show a user", _show, (USER,)),
        Command(
            "create",
            "create a user",
            _create,
            (
                USER,
                argument("--email", required=True, help="the mail address, with which one can log in, too"),
                argument("--realname", help="the name of the person (default: the login name)"),
                _COMMENT,
                argument("--admin", action="store_true", help="make it an administrator"),
                PASSWORD_FILE,
            ),
        ),
        Command(
            "update",
            "change the profile of a user",
            _update,
            (USER, argument("--email", help="the mail address"), _REALNAME, _COMMENT),
        ),
        Command("set-password", "change the password of a user", set_password, (USER, PASSWORD_FILE), has_output=False),
        Command(
            "set-admin",
            "make a user an administrator, or no longer",
            _set_admin,
            (USER, argument("admin", choices=("yes", "no"), help="whether it is one")),
        ),
        Command("enable", "let a user log in", _enable, (USER,)),
        Command("disable", "keep a user from logging in; its refresh tokens end for good", _disable, (USER,)),
        Command("delete", "delete a user", _delete, (USER,), asks="delete the user {user}", has_output=False),
    ),
)
