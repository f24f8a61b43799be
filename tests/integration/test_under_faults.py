"""All answers stay true while services are killed under load: half a minute of `make soak`."""

import random
from typing import Literal

import pytest

from tests.harness.installation import PLACEMENTS, StartInstallation
from tests.harness.soak.run import Plan, soak

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("database", "placement"),
    [
        ("sqlite", "file"),
        pytest.param("postgresql", "stream", marks=pytest.mark.postgres),
    ],
)
def test_what_was_answered_holds_whatever_is_killed(
    start_installation: StartInstallation, database: Literal["sqlite", "postgresql"], placement: str
) -> None:
    plan = Plan(seed=random.getrandbits(32), storm_seconds=10, calm_seconds=3, clients=4)

    report = soak(start_installation(database=database, environment=PLACEMENTS[placement]), plan)

    assert not report.findings, str(report)
    # Otherwise the run has proved nothing.
    assert report.outages, str(report)
    assert report.done["push_own"], str(report)
