"""jobsvc with the kinds of tests."""

import sys
from functools import partial
from pathlib import Path

from ctl.parent import die_with_parent
from jobsvc.config import SECTION, JobSettings
from jobsvc.engine.domain.kind import Kinds
from jobsvc.kinds import KINDS
from jobsvc.server import serve
from svckit.process.start import run_service
from tests.harness.jobs import kinds

if __name__ == "__main__":
    die_with_parent()
    sys.exit(run_service(SECTION, JobSettings, Path(sys.argv[1]), partial(serve, kinds=Kinds([*KINDS, *kinds.KINDS]))))
