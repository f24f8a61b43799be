"""oras attaches and discovers; helm pushes and pulls charts."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.images import image, write_oci_layout
from tests.harness.programs import Client
from tests.harness.workspace import Workspace

pytestmark = pytest.mark.acceptance


def _attach_report(oras: Client, subject: str, home: Path) -> None:
    (home / "report.json").write_text("{}")
    oras.run(
        "attach", "--plain-http", "--disable-path-validation", "--artifact-type=application/vnd.example.report",
        subject, f"{home}/report.json:application/json",
    )  # fmt: skip


def test_what_oras_attaches_is_discovered_and_goes_with_its_subject(
    crane: Client, oras: Client, workspace: Workspace, home: Path, rest: httpx.Client
) -> None:
    pushed = image(911)
    name = f"{workspace.host}/{workspace.project}/attached"
    crane.run("push", "--insecure", str(write_oci_layout(home / "layout", pushed)), f"{name}:v1")

    _attach_report(oras, f"{name}:v1", home)

    found: Any = json.loads(oras.run("discover", "--plain-http", "--format=json", f"{name}:v1"))
    assert [each["artifactType"] for each in found["referrers"]] == ["application/vnd.example.report"]
    [listed] = rest.get("/repositories/attached/artifacts", params={"with_accessory": "true"}).json()
    assert [each["digest"] for each in listed["accessories"]] == [found["referrers"][0]["digest"]]

    oras.run("manifest", "delete", "--plain-http", "--force", f"{name}@{pushed.digest}")

    assert rest.get("/repositories/attached/artifacts").json() == []


def test_a_recursive_copy_takes_the_referrers_along(
    crane: Client, oras: Client, workspace: Workspace, home: Path
) -> None:
    pushed = image(912)
    name = f"{workspace.host}/{workspace.project}/copied"
    crane.run("push", "--insecure", str(write_oci_layout(home / "layout", pushed)), f"{name}:v1")
    _attach_report(oras, f"{name}:v1", home)

    oras.run("copy", "--from-plain-http", "--to-plain-http", "--recursive", f"{name}:v1", f"{name}-to:v1")

    found: Any = json.loads(oras.run("discover", "--plain-http", "--format=json", f"{name}-to:v1"))
    assert len(found["referrers"]) == 1


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
