"""`roadstead admin` on a terminal: it asks, and what is typed as a password is not shown."""

import os
import secrets
import subprocess
from collections.abc import Sequence

from tests.harness.admin_cli import COMMAND, Admin
from tests.harness.installation import Installation

PASSWORD = "Typed-Passw0rd-1"


def converse(admin: Admin, arguments: Sequence[str], *answers: tuple[str, str]) -> tuple[int, str]:
    """Runs a command on a terminal of its own.

    Args:
        admin: the command.
        arguments: of it.
        answers: what is typed, each after this part of what it asks.

    Returns:
        its exit status, and all that the terminal shows.
    """
    ours, theirs = os.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *COMMAND, *arguments, *admin.where],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=admin.environment({}),
        cwd=admin.home,
    ) as process:
        os.close(theirs)
        shown = ""
        try:
            for question, answer in answers:
                part = ""
                while question not in part and (more := _read(ours)):
                    part += more
                shown += part
                os.write(ours, f"{answer}\n".encode())
            while more := _read(ours):
                shown += more
        finally:
            os.close(ours)
    return process.returncode, shown


def test_a_deletion_is_asked_for(local: Admin) -> None:
    project = f"p{secrets.token_hex(5)}"
    local.run("projects", "create", project)
    delete = ("projects", "delete", project)
    for answer in ("n", "", "no"):
        status, shown = converse(local, delete, (f"Really delete the project {project}? [y/N] ", answer))
        assert (status, "roadstead: nothing was changed" in shown) == (1, True)
        local.run("projects", "show", project)
    status, shown = converse(local, delete, ("[y/N] ", "y"))
    assert (status, f"the project {project} is deleted" in shown) == (0, True)
    local.refused("projects", "show", project)


def test_a_new_password_is_asked_for_twice_and_not_shown(local: Admin) -> None:
    user = f"u{secrets.token_hex(5)}"
    create = ("users", "create", user, "--email", f"{user}@example.com")
    first, second = f"New password of {user}: ", "Once more: "
    status, shown = converse(local, create, (first, PASSWORD), (second, "Another-Passw0rd-1"))
    assert (status, "the two passwords are not the same; nothing was changed" in shown) == (1, True)
    local.refused("users", "show", user)
    status, other = converse(local, create, (first, PASSWORD), (second, PASSWORD))
    assert (status, f"{user}@example.com" in other) == (0, True)
    assert PASSWORD not in shown + other


def test_the_password_of_a_profile_is_asked_for_each_time(bare: Admin, installation: Installation) -> None:
    login = ("login", "there", "--url", installation.http_url, "--user", "admin")
    question = (f"Password of admin at {installation.http_url}: ", installation.admin_password)
    status, shown = converse(bare, login, question)
    assert (status, "the profile is in" in shown) == (0, True)
    status, more = converse(bare, ("users", "list", "--profile", "there"), question)
    assert (status, "system admin" in more) == (0, True)
    assert installation.admin_password not in shown + more


def test_a_reader_that_has_enough_is_no_error(local: Admin) -> None:
    with local.process("projects", "list") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


def _read(terminal: int) -> str:
    """What the terminal shows next; nothing when the command has ended."""
    try:
        return os.read(terminal, 4096).decode(errors="replace").replace("\r\n", "\n")
    except OSError:  # Linux says EIO when nobody has the other side open
        return ""
