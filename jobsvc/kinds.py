"""All kinds of jobs."""

from jobsvc.engine.domain.kind import Kinds
from jobsvc.execution_sweep import domain as execution_sweep

KINDS = Kinds([execution_sweep.KIND])
