"""Secrets of `roadstead admin` are in no arguments, no output and no log."""

import secrets
from pathlib import Path

from tests.harness.admin_cli import Admin
from tests.harness.installation import Installation
from tests.harness.waiting import wait_until
from tests.integration.admin.conftest import log_in


def test_a_new_password_is_seen_nowhere(local: Admin, home: Path, installation: Installation) -> None:
    name, password = f"u{secrets.token_hex(5)}", "Never-Seen-Passw0rd"
    with local.process("users", "create", name, "--email", f"{name}@example.com") as process:
        seen = _about(process.pid)
        output = "".join(process.communicate(f"{password}\n"))
    assert name in seen
    assert name in output
    assert process.returncode == 0, output
    written = "".join(file.read_text() for file in home.rglob("*") if file.is_file())
    for secret in (password, installation.admin_password):
        assert secret not in seen + output + written + installation.log_file.read_text()


def test_a_password_of_a_profile_is_seen_nowhere(home: Path, installation: Installation) -> None:
    admin = log_in(home, installation)
    with admin.process("users", "list") as process:
        seen = _about(process.pid)
        output = "".join(process.communicate())
    assert process.returncode == 0, output
    assert "users" in seen
    assert installation.admin_password not in seen + output + "".join(admin.seen)


def test_a_secret_among_the_arguments_is_refused_and_not_repeated(local: Admin) -> None:
    for arguments in (
        ("users", "create", "bob", "--email", "b@example.com", "--password", "Typed-Passw0rd"),
        ("users", "set-password", "bob", "--password=Typed-Passw0rd"),
        ("set-password", "bob", "Typed-Passw0rd"),
        ("users", "set-password", "bob", "--pass", "Typed-Passw0rd"),
    ):
        assert "Typed-Passw0rd" not in local.refused(*arguments, status=2)
    said = local.refused("users", "set-password", "bob", "--password", "Typed-Passw0rd", status=2)
    assert "every user of this machine can see them, and the shell keeps them" in said


def _about(pid: int) -> str:
    """The arguments and variables of a process that has just been started. Both stay as they are then."""
    proc = Path(f"/proc/{pid}")
    # Linux starts the program a moment before it shows them.
    arguments = wait_until((proc / "cmdline").read_text, "the arguments of the command")
    return arguments + wait_until((proc / "environ").read_text, "its variables")
