"""Layouts of umoci, pushed and pulled by skopeo, crane and oras; umoci then unpacks what came back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.programs import Client
from tests.harness.umoci import FILES, digest_in, make_layout, unpacked
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

_ANY = "--insecure-policy"

Named = Callable[[str], str]


@pytest.fixture
def umoci(tmp_path: Path) -> Client:
    """Debian's umoci."""
    home = tmp_path / "umoci-home"
    home.mkdir()
    return Client("umoci", home)


def test_skopeo_moves_a_layout_there_and_back(
    umoci: Client, skopeo: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    layout = make_layout(umoci, tmp_path / "made")
    name, back = f"{repository('app')}:v1", tmp_path / "back"
    skopeo.run(
        *("login", "--tls-verify=false", "--username", login.name, "--password-stdin", workspace.host),
        input_text=login.secret,
    )

    skopeo.run("copy", _ANY, "--dest-tls-verify=false", f"oci:{layout}:v1", f"docker://{name}")
    skopeo.run("copy", _ANY, "--src-tls-verify=false", f"docker://{name}", f"oci:{back}:pulled")

    assert digest_in(back) == digest_in(layout)
    assert unpacked(umoci, back, "pulled", tmp_path / "bundle") == FILES


def test_crane_moves_a_layout_there_and_back(
    umoci: Client, crane: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    layout = make_layout(umoci, tmp_path / "made")
    name, back = f"{repository('app')}:v1", tmp_path / "back"
    crane.run("auth", "login", workspace.host, "-u", login.name, "--password-stdin", input_text=login.secret)

    crane.run("push", "--insecure", str(layout), name)
    crane.run("pull", "--insecure", "--format", "oci", "--annotate-ref", name, str(back))

    assert digest_in(back) == digest_in(layout)
    [tag] = umoci.run("list", "--layout", str(back)).split()
    assert unpacked(umoci, back, tag, tmp_path / "bundle") == FILES


def test_oras_moves_a_layout_there_and_back(
    umoci: Client, workspace: Workspace, login: Login, repository: Named, tmp_path: Path
) -> None:
    home = tmp_path / "oras-home"
    home.mkdir()
    oras = Client("oras", home)
    layout = make_layout(umoci, tmp_path / "made")
    name, back = f"{repository('app')}:v1", tmp_path / "back"
    oras.run(
        *("login", "--plain-http", "--username", login.name, "--password-stdin", workspace.host),
        input_text=login.secret,
    )

    oras.run("copy", "--from-oci-layout", "--to-plain-http", f"{layout}:v1", name)
    oras.run("copy", "--from-plain-http", "--to-oci-layout", name, f"{back}:pulled")

    assert digest_in(back) == digest_in(layout)
    assert unpacked(umoci, back, "pulled", tmp_path / "bundle") == FILES
