"""Random requests to every operation of /api/v2.0: no failure, and each answer as the description says."""

from tests.harness.api_fuzz import furnished, fuzz
from tests.harness.installation import StartInstallation

_CASES = 30
_SEED = 20261126


def test_random_requests_are_answered_as_described(start_installation: StartInstallation) -> None:
    installation = start_installation()

    with furnished(installation) as realm:
        report = fuzz(installation, realm, _CASES, _SEED)

    assert not report.findings, str(report)
    # Requests that all fail for one reason would say little.
    assert report.statuses[200] > report.operations, str(report)
