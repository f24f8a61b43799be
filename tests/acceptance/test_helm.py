"""helm pushes, shows and pulls a chart whose version has a plus sign, which no tag may have."""

from pathlib import Path

import httpx
import pytest

from tests.harness.programs import Client
from tests.harness.workspace import Workspace

pytestmark = pytest.mark.acceptance


def test_a_chart_is_pushed_shown_and_pulled(helm: Client, workspace: Workspace, home: Path, rest: httpx.Client) -> None:
    login = workspace.maintainer
    helm.run(
        "registry", "login", workspace.host, "--plain-http", "-u", login.name, "--password-stdin",
        input_text=login.secret,
    )  # fmt: skip
    helm.run("create", str(home / "web"))
    chart = home / "web" / "Chart.yaml"
    chart.write_text(chart.read_text().replace("version: 0.1.0", "version: 0.1.0+build.7"))
    helm.run("package", str(home / "web"), "--destination", str(home))

    repository = f"oci://{workspace.host}/{workspace.project}/charts"
    helm.run("push", "--plain-http", str(home / "web-0.1.0+build.7.tgz"), repository)

    shown = helm.run("show", "chart", "--plain-http", f"{repository}/web", "--version", "0.1.0+build.7")
    assert "version: 0.1.0+build.7" in shown
    helm.run(
        "pull", "--plain-http", f"{repository}/web", "--version", "0.1.0+build.7", "--destination", str(home / "web")
    )
    pulled = (home / "web" / "web-0.1.0+build.7.tgz").read_bytes()
    assert pulled == (home / "web-0.1.0+build.7.tgz").read_bytes()
    [listed] = rest.get("/repositories/charts%252Fweb/artifacts").json()
    assert (listed["type"], [tag["name"] for tag in listed["tags"]]) == ("CHART", ["0.1.0_build.7"])
