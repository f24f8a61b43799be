"""Which RPCs work in read-only mode: written by hand, and held against the contracts."""

from google.protobuf.descriptor_pb2 import MethodOptions

from svckit.rpc.policy import is_refused_read_only
from tests.harness.contracts import every_rpc

# They have side effects, and work all the same.
WORKING = {
    # The way out of the mode, and log-ins.
    "auth.v1.ConfigurationService/UpdateConfigurations",
    "auth.v1.TokenService/CreateIdentityToken",
    "auth.v1.TokenService/CreateRegistryToken",
    "auth.v1.RefreshTokenService/CreateRefreshToken",
    # A stolen log-in must be cut off at any time.
    "auth.v1.RefreshTokenService/RevokeRobotRefreshToken",
    "auth.v1.RefreshTokenService/RevokeUserRefreshToken",
    # Pulls. Their streams cannot be repeated, so they do not count as reads.
    "meta.v1.BlobLinkService/ResolveBlobBatches",
    "meta.v1.ManifestService/ResolveManifestBatches",
    # A damaged blob must not be served.
    "meta.v1.BlobLinkService/QuarantineBlob",
    # Readers of the change log go on.
    "auth.v1.ChangeService/PutCursor",
    "meta.v1.ChangeService/PutCursor",
    # What services finish that was accepted before.
    "auth.v1.ProjectService/DeleteProject",
    "blob.v1.BlobService/DeleteBlob",
    "blob.v1.BlobService/SettleGenerations",
    "blob.v1.BlobService/RevokeTokens",
    "blob.v1.BlobService/SetReadOnly",
    "job.v1.ExecutionSweepService/SweepExecutions",
    "job.v1.WorkService/AppendTaskLogs",
    "job.v1.WorkService/ClaimTasks",
    "job.v1.WorkService/FinishTasks",
    "job.v1.WorkService/RegisterWorker",
    "job.v1.WorkService/ReportTasks",
    "job.v1.WorkService/ReturnTasks",
    "job.v1.WorkService/UnregisterWorker",
    # Jobs that tidy up, and change nothing that users see.
    "auth.v1.ChangeService/CompactChanges",
    "blob.v1.UploadService/PurgeUploads",
    "meta.v1.ChangeService/CompactChanges",
    "meta.v1.QuotaService/RecountQuotas",
    # What runs must be stopped at any time.
    "job.v1.ExecutionService/StopExecution",
    "job.v1.JobQueueService/ActOnJobQueue",
    "job.v1.TaskService/StopRunningJobs",
    "job.v1.TaskService/StopTask",
}


def test_every_other_rpc_with_side_effects_is_refused() -> None:
    changing = {
        rpc.name for rpc in every_rpc() if rpc.method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS
    }
    refused = {rpc.name for rpc in every_rpc() if is_refused_read_only(rpc.method)}
    assert refused == changing - WORKING
    assert changing >= WORKING
