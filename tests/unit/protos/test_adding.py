"""Which RPCs add data, and are refused while the disk is full: written by hand, and held against the contracts."""

from roadstead.options.v1 import call_pb2
from tests.harness.contracts import every_rpc

ADDING = {
    "auth.v1.MemberService/CreateMember",
    "auth.v1.ProjectMetadataService/AddProjectMetadata",
    "auth.v1.ProjectService/CreateProject",
    "auth.v1.RefreshTokenService/CreateRefreshToken",
    "auth.v1.RobotService/CreateProjectRobot",
    "auth.v1.RobotService/CreateRobot",
    "auth.v1.UserGroupService/AddUserGroupMember",
    "auth.v1.UserGroupService/CreateUserGroup",
    "auth.v1.UserService/CreateUser",
    "blob.v1.UploadService/AppendUpload",
    "blob.v1.UploadService/StartUpload",
    "blob.v1.UploadService/WriteUpload",
    "blob.v1.UploadService/WriteUploadFile",
    "job.v1.ExecutionService/StartExecution",
    "meta.v1.ArtifactService/AddArtifactLabel",
    "meta.v1.ArtifactService/CopyArtifact",
    "meta.v1.BlobLinkService/LinkBlob",
    "meta.v1.BlobLinkService/MountBlob",
    "meta.v1.ImmutableRuleService/CreateImmutableRule",
    "meta.v1.LabelService/CreateLabel",
    "meta.v1.ManifestService/PutManifest",
    "meta.v1.ManifestService/WriteManifest",
    "meta.v1.TagService/CreateTag",
}
# What begins like them, and keeps nothing.
KEEPS_NOTHING = {"auth.v1.TokenService/CreateIdentityToken", "auth.v1.TokenService/CreateRegistryToken"}
KEEPS_LITTLE = {
    # A hundred small rows at most. Without them, compaction stands still, and the disk stays full.
    "auth.v1.ChangeService/PutCursor",
    "meta.v1.ChangeService/PutCursor",
    # Logs are bounded. Without them, nobody could see why a task has failed on a full disk.
    "job.v1.WorkService/AppendTaskLogs",
}


def test_the_contracts_say_which_rpcs_add_data() -> None:
    said = {rpc.name for rpc in every_rpc() if rpc.method.GetOptions().Extensions[call_pb2.call].adds_data}

    assert said == ADDING


def test_every_rpc_that_is_named_for_adding_is_decided_upon() -> None:
    verbs = ("Add", "Append", "Copy", "Create", "Link", "Mount", "Put", "Start", "Write")
    named = {rpc.name for rpc in every_rpc() if rpc.name.partition("/")[2].startswith(verbs)}

    assert named == ADDING | KEEPS_NOTHING | KEEPS_LITTLE
