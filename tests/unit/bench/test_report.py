import json

import pytest

from bench.aims import RATIOS, VALUES, aim
from bench.registries.roadstead import Setup
from bench.report.document import document
from bench.report.tables import tables
from bench.results.result import RowResult
from bench.results.sample import Measured, Sample
from bench.rows.table import KINDS, rows
from bench.sizes import FULL, QUICK

_SPEED = RowResult(
    "manifest",
    "manifest by tag, 16 connections",
    "req/s",
    "request",
    lower_is_better=False,
    rounds=[
        {
            "roadstead": Measured(Sample(1000.0, 4000, 0.2), {"gateway": 4.0, "metasvc": 2.0, "authsvc": 0.0}, 1.5),
            "distribution": Measured(Sample(4000.0, 16000, 0.8), {"distribution": 4.0}, 2.5),
        }
    ],
)
_MEMORY = RowResult(
    "start",
    "resident memory",
    "MiB",
    "",
    lower_is_better=True,
    rounds=[{"roadstead": Measured(Sample(300.0, parts={"gateway": 100.0, "metasvc": 200.0}), {"gateway": 1.0}, 1.0)}],
)
_LEFT_OUT = RowResult("fetch", "containerd fetches", "s", "GiB", True, (), "containerd needs root")


def test_the_tables_show_speeds_ratios_aims_and_cpu_time() -> None:
    lines = list(tables([_SPEED, _MEMORY, _LEFT_OUT], "granian"))

    assert "| manifest by tag, 16 connections | req/s | 1,000 | 4,000 | 0.25 | 0.25 to 0.25 | ≥ 0.90 |" in lines
    assert "| manifest by tag, 16 connections | request | 1.50 | gateway 1.00, metasvc 0.50 | 0.25 | 0.05 |" in lines
    assert "| resident memory | MiB | 300 | - | - | - | ≤ 450 |" in lines
    assert "| resident memory | MiB | 300 | metasvc 200, gateway 100 | - | - |" in lines
    assert any("1.5, from 1.0 to 2.5" in line for line in lines)
    assert "\nLeft out: containerd fetches: containerd needs root" in lines


def test_the_aims_depend_on_the_server() -> None:
    assert aim("blob up, 256 MiB, 1 stream", "hypercorn") == "≥ 1.10"
    assert aim("blob up, 256 MiB, 1 stream", "granian") == "≥ 1.30"
    assert aim("blob up, 4 MiB, 1 stream", "granian") == ""


def test_every_row_has_an_aim_and_every_aim_a_row() -> None:
    names = [row.name for row in rows(KINDS, Setup(), FULL)]

    assert sorted(names) == sorted({*RATIOS, *VALUES})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_chooses_rows_in_both_sizes(kind: str) -> None:
    for sizes in (FULL, QUICK):
        chosen = rows([kind], Setup(), sizes)

        assert chosen
        assert {row.kind for row in chosen} == {kind}


def test_the_json_has_every_sample_and_no_value_of_a_setting() -> None:
    setup = Setup("granian", 2, {"ROADSTEAD_METASVC_DATABASE_URL": "postgresql://user:hidden@host/db"})

    text = json.dumps(document([_SPEED, _LEFT_OUT], setup, FULL))
    found = json.loads(text)

    assert "hidden" not in text
    assert found["setup"] == {"server": "granian", "workers": 2, "variables": ["ROADSTEAD_METASVC_DATABASE_URL"]}
    speed, left_out = found["rows"]
    assert speed["ratio"] == {"median": 0.25, "lowest": 0.25, "highest": 0.25}
    assert speed["median"]["roadstead"]["cpu_seconds_per_work"]["gateway"] == 0.001
    assert speed["rounds"][0]["distribution"]["sample"]["work"] == 16000
    assert left_out["left_out"] == "containerd needs root"
    assert left_out["ratio"] is None
