"""Random requests to every operation of /api/v2.0: no failure, and each answer as the description says.

Each database finds other faults. To spare time, half of the operations are tried on one and half on the other here, and
all on both by `make soak`.
"""

import zlib
from typing import Literal

import pytest

from tests.harness.api_fuzz import furnished, fuzz
from tests.harness.installation import StartInstallation

_CASES = 30
_SEED = 20261126
_REMAINDERS = {"sqlite": 0, "postgresql": 1}


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_random_requests_are_answered_as_described(
    start_installation: StartInstallation, database: Literal["sqlite", "postgresql"]
) -> None:
    installation = start_installation(database=database)

    def is_tried_here(operation_id: str) -> bool:
        # A new operation must not move the others to the other database.
        return zlib.crc32(operation_id.encode()) % len(_REMAINDERS) == _REMAINDERS[database]

    with furnished(installation) as realm:
        report = fuzz(installation, realm, _CASES, _SEED, is_tried_here)

    assert not report.findings, str(report)
    # Requests that all fail for one reason would say little.
    assert report.statuses[200] > report.operations, str(report)
