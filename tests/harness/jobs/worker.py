"""A worker with the kinds of tests."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ctl.parent import die_with_parent
from jobsvc.engine.worker.task import Handler
from jobsvc.worker import build_handlers, work
from jobsvc.worker_config import SECTION, WorkerSettings
from svckit.process.process import ServiceProcess
from svckit.process.start import run_service
from tests.harness.jobs import kinds


def build(process: ServiceProcess[WorkerSettings]) -> Mapping[str, Handler]:
    """The handlers of the product and those of tests."""
    return {**build_handlers(process), **kinds.handlers()}


if __name__ == "__main__":
    die_with_parent()
    sys.exit(run_service(SECTION, WorkerSettings, Path(sys.argv[1]), partial(work, build=build)))
