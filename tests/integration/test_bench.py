"""`python -m bench` on a real Roadstead, without the peer."""

import json
import subprocess
import sys
from pathlib import Path

from bench.client import PROGRAM
from tests.harness.process import environment
from tests.harness.programs import program

_ROOT = Path(__file__).parents[2]


def test_the_bench_measures_speed_and_cpu_time_of_each_process(tmp_path: Path) -> None:
    program(PROGRAM)
    kinds = ("head", "push", "upload", "download")
    report = tmp_path / "report.json"

    done = subprocess.run(
        [sys.executable, "-m", "bench", *kinds, "--quick", "--alone", "--json", str(report)],
        cwd=_ROOT,
        env=environment({"ROADSTEAD_GATEWAY_LIMITS__TAGS_PER_MANIFEST": "50"}),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "| HEAD blob, 16 connections | req/s |" in done.stdout
    rows = json.loads(report.read_text())["rows"]
    assert {row["kind"] for row in rows} == set(kinds)
    for row in rows:
        (measured,) = (one["roadstead"] for one in row["rounds"])
        assert measured["sample"]["value"] > 0
        assert measured["sample"]["work"] > 0
        assert set(measured["cpu_seconds"]) == {
            "supervisor",
            "gateway",
            "authsvc",
            "metasvc",
            "blobsvc",
            "jobsvc",
            "worker",
        }
    assert sum(one["roadstead"]["cpu_seconds"]["gateway"] for row in rows for one in row["rounds"]) > 0


def test_a_kind_that_is_unknown_is_refused_with_those_that_are_known() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "manifests"], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2
    assert "there is no manifests; there is download, upload, manifest" in done.stderr
