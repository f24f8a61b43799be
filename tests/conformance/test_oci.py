"""The OCI distribution conformance suite, unchanged, against a private project with token auth.

`make conformance` runs this alone. The suite is a program of its own (`make tools`); its reports stay in `results/`.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from tests.harness.installation import on_both_servers
from tests.harness.programs import program
from tests.harness.workspace import Workspace

pytestmark = [pytest.mark.conformance, on_both_servers]

_LIMIT_SECONDS = 600
_RESULTS = Path(__file__).parents[2] / "results"


class Version(NamedTuple):
    """A version of the specification, and what the suite reports of it.

    Attributes:
        name: as the suite calls it.
        tests: results in all, at the state of the suite that `make tools` installs.
        disabled: results that the suite itself leaves out at this version.
    """

    name: str
    tests: int
    disabled: int


@pytest.mark.parametrize("version", [Version("dev", 986, 0), Version("1.1", 862, 2), Version("1.0", 858, 8)])
def test_every_result_passes(version: Version, workspace: Workspace) -> None:
    folder = _RESULTS / f"conformance-{version.name}"
    folder.mkdir(parents=True, exist_ok=True)

    done = subprocess.run(
        [program("conformance")],
        # Nothing else of the suite's settings is touched: what it does by default is what is shown.
        env={
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "OCI_REGISTRY": workspace.host,
            "OCI_TLS": "disabled",
            "OCI_REPO1": f"{workspace.project}/conformance-{version.name}/one",
            "OCI_REPO2": f"{workspace.project}/conformance-{version.name}/two",
            "OCI_USERNAME": workspace.maintainer.name,
            "OCI_PASSWORD": workspace.maintainer.secret,
            "OCI_VERSION": version.name,
            "OCI_RESULTS_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )

    # Written a moment ago by a program that we started.
    report = ET.parse(folder / "junit.xml").getroot()  # noqa: S314
    assert not list(_failures(report)), done.stdout[-4000:]
    assert done.returncode == 0, done.stdout[-4000:]
    counts = {name: int(report.get(name, "0")) for name in ("tests", "failures", "errors", "skipped", "disabled")}
    assert counts == {
        "tests": version.tests,
        "failures": 0,
        "errors": 0,
        "skipped": 0,
        "disabled": version.disabled,
    }


def _failures(report: ET.Element) -> Iterator[str]:
    for case in report.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            yield str(case.get("name"))
