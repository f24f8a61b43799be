"""Ten thousand tasks through two workers that are killed again and again."""

from pathlib import Path

import pytest

from tests.harness.jobs.running import running_jobs
from tests.harness.jobs.storm import run_storm


@pytest.mark.soak
def test_ten_thousand_tasks_end_in_success_though_workers_are_killed_and_valkey_is_wiped(tmp_path: Path) -> None:
    variables = {"ROADSTEAD_JOBSVC_LEASE_SECONDS": "10"}
    with running_jobs(tmp_path, variables) as jobs:
        run_storm(jobs, tasks=10_000, executions=10, kill_seconds=5.0)
