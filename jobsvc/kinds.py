"""All kinds of jobs."""

from jobsvc.change_log_compaction import domain as change_log_compaction
from jobsvc.engine.domain.kind import Kinds
from jobsvc.execution_sweep import domain as execution_sweep
from jobsvc.quota_recount import domain as quota_recount
from jobsvc.upload_purge import domain as upload_purge

KINDS = Kinds([change_log_compaction.KIND, execution_sweep.KIND, quota_recount.KIND, upload_purge.KIND])
