"""`roadstead admin login` and `profiles`: who proves what to whom, and where passwords come from."""

import http.server
import json
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.admin_cli import Admin
from tests.harness.certificates import Authority
from tests.harness.installation import Installation
from tests.harness.ports import free_port
from tests.harness.workspace import Management
from tests.integration.admin.conftest import log_in

FIELDS = {"name", "url", "user", "password", "ca_file", "insecure"}
"""The JSON of a profile, as docs/cli.md has it."""


@pytest.fixture
def other_server() -> Iterator[str]:
    """The URL of a web server that is no registry."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def arguments(url: str, *more: str | Path, user: str = "admin") -> tuple[str | Path, ...]:
    return ("login", "there", "--url", url, "--user", user, *more)


def test_a_profile_holds_everything_but_the_password(home: Path, installation: Installation) -> None:
    admin = log_in(home, installation)
    file = home / "config" / "roadstead" / "profiles" / "there.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    profile = json.loads(admin.run_bare("profiles", "show", "there", "--json").stdout)
    assert set(profile) == FIELDS
    assert profile == {
        "name": "there",
        "url": installation.http_url,
        "user": "admin",
        "password": f"file:{home / 'password'}",
        "ca_file": None,
        "insecure": False,
    }
    assert json.loads(admin.run_bare("profiles", "list", "--json").stdout) == [profile]
    assert installation.admin_password not in file.read_text() + "".join(admin.seen)
    admin.run_bare("users", "list", ROADSTEAD_ADMIN_PROFILE="there")
    admin.run_bare("profiles", "delete", "there")
    assert not file.exists()
    assert "there is no profile there, there is none yet" in admin.refused("users", "list")


def test_the_password_comes_from_where_the_profile_says(bare: Admin, installation: Installation) -> None:
    url, password = installation.http_url, installation.admin_password
    listed = ("users", "list", "--profile", "there")
    bare.run(*arguments(url, "--password-stdin"), stdin=f"{password}\n")
    bare.run(*listed, stdin=f"{password}\n")
    # The first line is the password of the profile, the second one that of the new user.
    name = f"u{secrets.token_hex(5)}"
    bare.run(
        *("users", "create", name, "--email", f"{name}@example.com", "--profile", "there"),
        stdin=f"{password}\nPassw0rd-1\n",
    )
    bare.run(*arguments(url, "--password-variable", "SECRET"), SECRET=password)
    bare.run(*listed, SECRET=password)
    assert "the variable SECRET is not set" in bare.refused(*listed)
    # Nobody is there to ask.
    assert "there is no terminal to ask for the password" in bare.refused(*arguments(url), status=2)
    assert "not allowed with argument --password-stdin" in bare.refused(
        *arguments(url, "--password-stdin", "--password-file", "x"), status=2
    )
    assert password not in "".join(bare.seen)


def test_who_cannot_log_in_gets_no_profile(bare: Admin, installation: Installation, home: Path) -> None:
    wrong = arguments(installation.http_url, "--password-stdin", user=f"u{secrets.token_hex(5)}")
    said = bare.refused(*wrong, stdin="Wrong-Passw0rd\n")
    assert "(401 UNAUTHORIZED)" in said
    assert "look at the user, and where the password comes from: stdin" in said
    assert not (home / "config").exists()


def test_the_certificate_must_be_of_a_trusted_authority(
    bare: Admin, tls_installation: Installation, authority: Authority, tmp_path: Path
) -> None:
    url, line = tls_installation.http_url, f"{tls_installation.admin_password}\n"
    stranger = Authority(tmp_path / "stranger")
    for more in ((), ("--ca-file", stranger.ca)):
        said = bare.refused(*arguments(url, "--password-stdin", *more), stdin=line)
        assert f"{url} cannot prove who it is: " in said
        assert "--ca-file FILE" in said
    assert "cannot read the certificates in" in bare.refused(
        *arguments(url, "--password-stdin", "--ca-file", "none.pem"), stdin=line
    )
    bare.run(*arguments(url, "--password-stdin", "--ca-file", authority.ca), stdin=line)
    result = bare.run("users", "list", "--profile", "there", stdin=line)
    assert result.stderr == ""
    # The certificate is for 127.0.0.1.
    other_name = url.replace("127.0.0.1", "localhost")
    assert "cannot prove who it is: " in bare.refused(
        *arguments(other_name, "--password-stdin", "--ca-file", authority.ca), stdin=line
    )
    bare.run(*arguments(other_name, "--password-stdin", "--insecure"), stdin=line)
    result = bare.run("users", "list", "--profile", "there", stdin=line)
    assert result.stderr == f"warning: {other_name} does not have to prove who it is (--insecure)\n"


def test_what_is_no_installation_is_said(
    bare: Admin, installation: Installation, tls_installation: Installation, other_server: str
) -> None:
    cases = {
        f"http://127.0.0.1:{free_port()}": "does it run, and is the address right?",
        other_server: "answers, but not as Harbor's API does",
        installation.http_url.replace("http:", "https:"): "is it http instead of https?",
        tls_installation.http_url.replace("https:", "http:"): "is it https instead of http?",
    }
    for url, text in cases.items():
        assert text in bare.refused(*arguments(url, "--password-stdin"), stdin="Secret-Passw0rd\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("registry.example.com", "is not a URL such as https://registry.example.com"),
        ("https://registry.example.com/api/v2.0", "has more than a host and a port"),
        ("https://me:Secret-Passw0rd@registry.example.com", "must not hold a user or a password"),
        ("http://registry.example.com", "would send the password unencrypted"),
    ],
)
def test_a_wrong_url_is_refused_before_a_password_is_read(bare: Admin, url: str, said: str) -> None:
    text = bare.refused(*arguments(url, "--password-stdin"), status=2)
    assert said in text
    assert "Secret-Passw0rd" not in text


def test_a_user_without_rights_is_told_so(bare: Admin, installation: Installation, management: Management) -> None:
    user = management.create_user()
    bare.run(*arguments(installation.http_url, "--password-variable", "SECRET", user=user.name), SECRET=user.secret)
    result = bare.run("users", "list", "--profile", "there", status=1, SECRET=user.secret)
    assert f"(403 FORBIDDEN); {user.name} may not do this at {installation.http_url}" in result.stderr
    own = ("users", "set-password", user.name, "--profile", "there")
    changed = bare.run(*own, stdin="New-Passw0rd-1\n", SECRET=user.secret)
    assert changed.stderr == (
        "this is the password of the profile there: change it in variable:SECRET, too\n"
        f"{user.name} has a new password\n"
    )
    assert "(401 UNAUTHORIZED)" in bare.run(*own, stdin="New-Passw0rd-2\n", status=1, SECRET=user.secret).stderr


def test_a_profile_that_others_could_change_is_refused(home: Path, installation: Installation) -> None:
    admin = log_in(home, installation)
    file = home / "config" / "roadstead" / "profiles" / "there.toml"
    file.chmod(0o644)
    said = admin.refused("users", "list")
    assert f"other users can read or change {file} (mode 0644); `chmod 600 {file}` prevents it" in said
    file.chmod(0o600)
    (home / "password").chmod(0o640)
    assert f"`chmod 600 {home / 'password'}` prevents it" in admin.refused("users", "list")
    file.write_text("url = 7\n")
    assert f"{file} is damaged (url is of the wrong type); `roadstead admin login there` writes it" in admin.refused(
        "users", "list"
    )
    said = admin.run_bare("users", "list", "--profile", "ther", status=1).stderr
    assert said == "roadstead: there is no profile ther; did you mean there?\n"
    said = admin.run_bare("users", "list", "--profile", "../there", status=2).stderr
    assert "'../there' cannot be the name of a profile" in said


def test_an_installation_that_does_not_run_here_is_said(bare: Admin, tmp_path: Path) -> None:
    said = bare.refused("users", "list", "--data-dir", tmp_path)
    assert said == (
        f"roadstead: `roadstead up` does not run on {tmp_path}; start it, or name another --data-dir, or a --profile\n"
    )
    said = bare.refused("users", "list", "--data-dir", tmp_path, "--profile", "there", status=2)
    assert "argument --profile: not allowed with argument --data-dir" in said
