"""Clients at work for long, while services are killed, and then in peace: `make soak`.

SOAK_SECONDS (600), SOAK_CLIENTS (6), SOAK_DATABASE (sqlite, or postgresql), SOAK_PLACEMENT (file, or stream),
SOAK_SERVER (hypercorn, or granian) and SOAK_SEED (by chance) say how.
"""

import os
import random
import sys
from typing import Literal, cast

import pytest

from tests.harness.installation import PLACEMENTS, StartInstallation
from tests.harness.soak.run import Plan, soak

_STORM_SHARE = 0.75


@pytest.mark.soak
def test_what_was_answered_holds_whatever_is_killed(
    start_installation: StartInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    plan = Plan(
        seed=int(os.environ.get("SOAK_SEED", random.getrandbits(32))),
        storm_seconds=seconds * _STORM_SHARE,
        calm_seconds=seconds * (1 - _STORM_SHARE),
        clients=int(os.environ.get("SOAK_CLIENTS", "6")),
    )
    database = cast('Literal["sqlite", "postgresql"]', os.environ.get("SOAK_DATABASE", "sqlite"))

    variables = {
        **PLACEMENTS[os.environ.get("SOAK_PLACEMENT", "file")],
        "ROADSTEAD_GATEWAY_SERVER": os.environ.get("SOAK_SERVER", "hypercorn"),
    }

    report = soak(start_installation(database=database, environment=variables), plan)

    with capsys.disabled():
        sys.stdout.write(f"\n{report}\n")
    assert not report.findings, str(report)
