"""Many more random requests than in CI: `make soak`.

SOAK_CASES (1000 for each operation) and SOAK_SEED (by chance) say how many, and which.
"""

import os
import random
import sys

import pytest

from tests.harness.api_fuzz import furnished, fuzz
from tests.harness.installation import StartInstallation


@pytest.mark.soak
def test_random_requests_are_answered_as_described(
    start_installation: StartInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = int(os.environ.get("SOAK_CASES", "1000"))
    seeded = int(os.environ.get("SOAK_SEED", random.getrandbits(32)))
    installation = start_installation()

    with furnished(installation) as realm:
        report = fuzz(installation, realm, cases, seeded)

    with capsys.disabled():
        sys.stdout.write(f"\nseed {seeded}\n{report}\n")
    assert not report.findings, str(report)
