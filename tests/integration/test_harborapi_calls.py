"""harborapi calls every operation that is served, in one of the files beside this one."""

import ast
import inspect
from pathlib import Path

import pytest
from harborapi import HarborAsyncClient

from tests.unit.gateway.api.test_harbor_operations import operations

# The method of harborapi that calls each operation, found by reading it.
METHODS = {
    "getHealth": "health_check",
    "search": "search",
    "getStatistic": "get_statistics",
    "getConfigurations": "get_config",
    "updateConfigurations": "update_config",
    "listProjects": "get_projects",
    "headProject": "project_exists",
    "createProject": "create_project",
    "getProject": "get_project",
    "updateProject": "update_project",
    "deleteProject": "delete_project",
    "getProjectDeletable": "get_project_deletable",
    "getProjectSummary": "get_project_summary",
    "listProjectMembers": "get_project_members",
    "createProjectMember": "add_project_member",
    "getProjectMember": "get_project_member",
    "updateProjectMember": "update_project_member_role",
    "deleteProjectMember": "remove_project_member",
    "listProjectMetadatas": "get_project_metadata",
    "addProjectMetadatas": "set_project_metadata",
    "getProjectMetadata": "get_project_metadata_entry",
    "updateProjectMetadata": "update_project_metadata_entry",
    "deleteProjectMetadata": "delete_project_metadata_entry",
    "listAllRepositories": "get_repositories",
    "listRepositories": "get_repositories",
    "getRepository": "get_repository",
    "updateRepository": "update_repository",
    "deleteRepository": "delete_repository",
    "listArtifacts": "get_artifacts",
    "CopyArtifact": "copy_artifact",
    "getArtifact": "get_artifact",
    "deleteArtifact": "delete_artifact",
    "createTag": "create_artifact_tag",
    "listTags": "get_artifact_tags",
    "deleteTag": "delete_artifact_tag",
    "listAccessories": "get_artifact_accessories",
    "getAddition": "get_artifact_build_history",
    "addLabel": "add_artifact_label",
    "removeLabel": "delete_artifact_label",
    "listArtifactsOfProject": "get_project_artifacts",
    "ListImmuRules": "get_project_immutable_tag_rules",
    "CreateImmuRule": "create_project_immutable_tag_rule",
    "UpdateImmuRule": "update_project_immutable_tag_rule",
    "DeleteImmuRule": "delete_project_immutable_tag_rule",
    "listUserGroups": "get_usergroups",
    "createUserGroup": "create_usergroup",
    "searchUserGroups": "search_usergroups",
    "getUserGroup": "get_usergroup",
    "updateUserGroup": "update_usergroup",
    "deleteUserGroup": "delete_usergroup",
    "getIcon": "get_icon",
    "ListRobot": "get_robots",
    "CreateRobot": "create_robot",
    "GetRobotByID": "get_robot",
    "UpdateRobot": "update_robot",
    "RefreshSec": "refresh_robot_secret",
    "DeleteRobot": "delete_robot",
    "listQuotas": "get_quotas",
    "getQuota": "get_quota",
    "updateQuota": "update_quota",
    "getSystemInfo": "get_system_info",
    "getVolumes": "get_system_volume_info",
    "getCert": "get_system_certificate",
    "getSystemCVEAllowlist": "get_cve_allowlist",
    "putSystemCVEAllowlist": "update_cve_allowlist",
    "getPing": "ping",
    "listUsers": "get_users",
    "createUser": "create_user",
    "getCurrentUserInfo": "get_current_user",
    "searchUsers": "search_users_by_username",
    "getUser": "get_user",
    "updateUserProfile": "update_user",
    "deleteUser": "delete_user",
    "setUserSysAdmin": "set_user_admin",
    "updateUserPassword": "set_user_password",
    "getCurrentUserPermissions": "get_current_user_permissions",
    "setCliSecret": "set_user_cli_secret",
    "ListLabels": "get_labels",
    "CreateLabel": "create_label",
    "GetLabelByID": "get_label",
    "UpdateLabel": "update_label",
    "DeleteLabel": "delete_label",
    "getPermissions": "get_permissions",
}
# It has no method for them. `test_harborapi_jobs.py` calls those of jobs by harborapi's own requests, with its models.
WITHOUT = {
    "getInternalconfig",
    "getWorkerPools",
    "getWorkers",
    "stopRunningJob",
    "actionGetJobLog",
    "listJobQueues",
    "actionPendingJobs",
    "listSchedules",
    "getSchedulePaused",
}


def test_every_served_operation_has_its_method() -> None:
    assert set(METHODS) | WITHOUT == {each.name for each in operations() if each.served != "not yet"}


@pytest.mark.parametrize("method", sorted(set(METHODS.values())))
def test_its_method_is_called(method: str) -> None:
    assert inspect.iscoroutinefunction(getattr(HarborAsyncClient, method))
    called = {
        node.func.attr
        for file in Path(__file__).parent.glob("test_harborapi*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert method in called
