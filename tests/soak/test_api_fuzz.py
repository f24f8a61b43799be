"""Many more random requests than in CI, to every operation on both databases: `make soak`.

SOAK_CASES (1000 for each operation) and SOAK_SEED (by chance) say how many, and which.
"""

import os
import random
import sys
from typing import Literal

import pytest

from tests.harness.api_fuzz import furnished, fuzz
from tests.harness.installation import StartInstallation


@pytest.mark.soak
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_random_requests_are_answered_as_described(
    start_installation: StartInstallation,
    capsys: pytest.CaptureFixture[str],
    database: Literal["sqlite", "postgresql"],
) -> None:
    cases = int(os.environ.get("SOAK_CASES", "1000"))
    seeded = int(os.environ.get("SOAK_SEED", random.getrandbits(32)))
    installation = start_installation(database=database)

    with furnished(installation) as realm:
        report = fuzz(installation, realm, cases, seeded)

    with capsys.disabled():
        sys.stdout.write(f"\nseed {seeded}\n{report}\n")
    assert not report.findings, str(report)
