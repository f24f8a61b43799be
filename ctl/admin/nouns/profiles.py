"""`roadstead admin profiles`, and `roadstead admin login`."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from ctl.admin.command import Column, Command, Noun, Outcome, argument
from ctl.admin.profile import Profile, checked_url, profile_names, remove_profile
from ctl.admin.rest import Row, path
from ctl.admin.secret import SecretSource
from ctl.admin.session import Session, say
from ctl.admin.target import remote_target
from ctl.errors import CommandError


def _json(profile: Profile) -> Row:
    return {
        "name": profile.name,
        "url": profile.url,
        "user": profile.user,
        "password": str(profile.password),
        "ca_file": None if profile.ca_file is None else str(profile.ca_file),
        "insecure": profile.insecure,
    }


def _list(_session: Session, _options: Namespace) -> Outcome:
    return [_json(Profile.load(name)) for name in profile_names()]


def _show(_session: Session, options: Namespace) -> Outcome:
    return _json(Profile.load(options.name))


def _delete(_session: Session, options: Namespace) -> Outcome:
    remove_profile(options.name)
    say(f"the profile {options.name} is deleted")
    return None


def _login(session: Session, options: Namespace) -> Outcome:
    try:
        url = checked_url(options.url, insecure=options.insecure)
    except ValueError as error:
        raise CommandError(str(error), 2) from error
    profile = Profile(
        name=options.name,
        url=url,
        user=options.user,
        password=options.password,
        ca_file=None if options.ca_file is None else options.ca_file.absolute(),
        insecure=options.insecure,
    )
    if profile.insecure:
        say(f"warning: {profile.url} does not have to prove who it is (--insecure)")
    # Anybody may read this, but wrong credentials are refused. Only callers who have logged in see the version.
    info: dict[str, Any] = session.connect(remote_target(profile)).get(path("systeminfo"))
    if "harbor_version" not in info:
        raise CommandError(f"{profile.url} answers, but not as Harbor's API does; is the URL that of the gateway?")
    file = profile.save()
    say(f"{profile.user} may log in at {profile.url} ({info['harbor_version']}); the profile is in {file}")
    return None


def _file_source(text: str) -> SecretSource:
    return SecretSource("file", str(Path(text).absolute()))


def _variable_source(text: str) -> SecretSource:
    return SecretSource("variable", text)


_NAME = argument("name", help="the name of the profile")

LOGIN = Command(
    "login",
    "keep the address of a remote installation, and who logs in there, as a profile",
    _login,
    (
        _NAME,
        argument("--url", required=True, help="of the gateway, such as https://registry.example.com"),
        argument("--user", required=True, help="the login name of a user, or the full name of a robot"),
        argument(
            "--ca-file", type=Path, metavar="FILE", help="the certificates to trust, in PEM (default: this machine's)"
        ),
        argument(
            "--insecure",
            action="store_true",
            help="the server need not prove who it is, and http is allowed everywhere",
        ),
        argument(
            "--password-file",
            exclusive="password",
            dest="password",
            type=_file_source,
            metavar="FILE",
            default=SecretSource("ask"),
            help="read the password from this file each time (default: a terminal is asked each time)",
        ),
        argument(
            "--password-stdin",
            exclusive="password",
            dest="password",
            action="store_const",
            const=SecretSource("stdin"),
            help="read the password from the first line of standard input each time",
        ),
        argument(
            "--password-variable",
            exclusive="password",
            dest="password",
            type=_variable_source,
            metavar="NAME",
            help="read the password from this variable each time",
        ),
    ),
    has_output=False,
    needs_installation=False,
)

PROFILES = Noun(
    "profiles",
    "remote installations that `login` has kept",
    columns=(
        Column("PROFILE", "name"),
        Column("URL", "url"),
        Column("USER", "user"),
        Column("PASSWORD", "password"),
        Column("CA", "ca_file"),
        Column("INSECURE", "insecure"),
    ),
    commands=(
        Command("list", "list profiles", _list, needs_installation=False),
        Command("show", "show a profile", _show, (_NAME,), needs_installation=False),
        Command("delete", "delete a profile", _delete, (_NAME,), has_output=False, needs_installation=False),
    ),
)
