"""A client that openapi-generator makes of Harbor's own description calls every operation that is served, once or more.

The generated models are strict: an answer that is not Harbor's JSON fails.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness.harbor import SWAGGER
from tests.harness.images import image
from tests.harness.installation import Installation, StartInstallation
from tests.harness.programs import program
from tests.harness.push import push
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login
from tests.unit.gateway.api.test_harbor_operations import operations

# The generated code uses deprecated features of pydantic; only the generator can change that.
pytestmark = [pytest.mark.acceptance, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")]

JOB = "EXECUTION_SWEEP"
GENERATOR = "org.openapitools:openapi-generator-maven-plugin:7.25.0"
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>roadstead</groupId><artifactId>harbor-client</artifactId><version>1</version><packaging>pom</packaging>
  <build><plugins><plugin>
    <groupId>org.openapitools</groupId><artifactId>openapi-generator-maven-plugin</artifactId>
    <version>{version}</version>
    <executions><execution>
      <phase>generate-sources</phase><goals><goal>generate</goal></goals>
      <configuration>
        <inputSpec>{swagger}</inputSpec>
        <generatorName>python</generatorName>
        <output>{folder}</output>
        <configOptions><packageName>harbor_client</packageName></configOptions>
      </configuration>
    </execution></executions>
  </plugin></plugins></build>
</project>
"""


class Client:
    """The generated client, which notes the operations that it calls."""

    def __init__(self, package: Any, url: str, login: Login) -> None:
        configuration = package.Configuration(host=f"{url}/api/v2.0", username=login.name, password=login.secret)
        self._package = package
        self._connection = package.ApiClient(configuration)
        self.called: set[tuple[str, str]] = set()
        serialize = self._connection.param_serialize

        def note(method: str, resource_path: str, *arguments: Any, **options: Any) -> Any:
            self.called.add((method, resource_path))
            return serialize(method, resource_path, *arguments, **options)

        self._connection.param_serialize = note

    def __getattr__(self, name: str) -> Any:
        """`client.project` has the operations that are tagged "project"."""
        words = name.split("_")
        return getattr(self._package, f"{''.join(word.title() for word in words)}Api".replace("Cve", "CVE"))(
            self._connection
        )

    def model(self, name: str, /, **fields: Any) -> Any:
        """A model of the generated package."""
        return getattr(self._package, name)(**fields)

    def refused(self, status: int, call: Any, *arguments: Any, **options: Any) -> None:
        """Makes a call that must be answered by this status."""
        with pytest.raises(self._package.ApiException) as refusal:
            call(*arguments, **options)
        assert refusal.value.status == status, refusal.value.body


def plain(answer: Any) -> Any:
    """The JSON of an answer whose generated model is wrong: for a value of any type, it takes objects only."""
    assert answer.status == 200
    return json.loads(answer.data)


def location_id(answer: Any) -> int:
    """The id at the end of the Location of what was created."""
    assert answer.status_code == 201
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return int(headers["location"].rpartition("/")[2])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The generated package, with what it needs."""
    maven = program("mvn")
    folder = tmp_path_factory.mktemp("generated")
    (folder / "pom.xml").write_text(
        _POM.format(version=GENERATOR.rpartition(":")[2], swagger=SWAGGER, folder=folder / "client")
    )
    subprocess.run([maven, "-q", "-B", "generate-sources"], cwd=folder, check=True, timeout=600)
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), str(folder / "client")]
    subprocess.run(command, check=True, timeout=600)
    # Behind the packages of this environment, so that none of them is replaced.
    sys.path.append(str(site))
    try:
        yield importlib.import_module("harbor_client")
    finally:
        sys.path.remove(str(site))


@pytest.fixture
def alone(start_installation: StartInstallation) -> Installation:
    """An installation whose settings may be changed."""
    return start_installation()


def test_it_calls_every_operation_that_is_served(package: Any, alone: Installation) -> None:
    client = Client(package, alone.http_url, Login("admin", alone.admin_password))

    look_at_the_system(client)
    change_the_configuration(client)
    manage_users_and_groups(client)
    manage_a_project(client, alone)
    manage_immutable_rules(client)
    manage_robots(client)
    look_at_artifacts(client, alone)
    manage_jobs(client, alone)

    served = {(each.method, each.path) for each in operations() if each.served != "not yet"}
    assert client.called == served


def look_at_the_system(client: Client) -> None:
    assert client.ping.get_ping() == "Pong"
    assert client.health.get_health().status == "healthy"
    assert client.systeminfo.get_system_info().harbor_version.startswith("v2.")
    assert client.systeminfo.get_volumes().storage[0].total > 0
    client.refused(404, client.systeminfo.get_cert)
    assert client.statistic.get_statistic().total_project_count >= 1
    assert "library" in {project.name for project in client.search.search("lib").project}
    assert client.permissions.get_permissions().system


def change_the_configuration(client: Client) -> None:
    assert client.configure.get_configurations().auth_mode.value == "db_auth"
    assert plain(client.configure.get_internalconfig_without_preload_content())["auth_mode"]["value"] == "db_auth"
    client.configure.update_configurations(client.model("Configurations", banner_message="Hello"))
    assert client.configure.get_configurations().banner_message.value == "Hello"
    wanted = client.model("CVEAllowlist", items=[client.model("CVEAllowlistItem", cve_id="CVE-2026-1")])
    client.system_cve_allowlist.put_system_cve_allowlist(allowlist=wanted)
    held = client.system_cve_allowlist.get_system_cve_allowlist()
    assert [item.cve_id for item in held.items] == ["CVE-2026-1"]


def manage_users_and_groups(client: Client) -> None:
    users = client.user
    wanted = client.model(
        "UserCreationReq", username="carol", realname="Carol", email="carol@example.com", password="Carol12345"
    )
    user_id = location_id(users.create_user_with_http_info(wanted))
    assert "carol" in {user.username for user in users.list_users()}
    assert [found.username for found in users.search_users("caro")] == ["carol"]
    assert users.get_user(user_id).email == "carol@example.com"
    assert users.get_current_user_info().username == "admin"
    assert users.get_current_user_permissions(scope="/project/1")
    users.update_user_profile(
        user_id, client.model("UserProfile", email="carol@example.org", realname="Carol", comment="")
    )
    users.set_user_sys_admin(user_id, client.model("UserSysAdminFlag", sysadmin_flag=False))
    users.update_user_password(user_id, client.model("PasswordReq", new_password="Carol23456"))
    client.refused(412, users.set_cli_secret, user_id, client.model("OIDCCliSecretReq", secret="Carol34567"))

    groups = client.usergroup
    group = client.model("UserGroup", group_name="builders", group_type=3)
    group_id = location_id(groups.create_user_group_with_http_info(usergroup=group))
    assert [found.group_name for found in groups.list_user_groups()] == ["builders"]
    assert [found.group_name for found in groups.search_user_groups("build")] == ["builders"]
    groups.update_user_group(group_id, usergroup=client.model("UserGroup", group_name="makers"))
    assert groups.get_user_group(group_id).group_name == "makers"


def manage_a_project(client: Client, installation: Installation) -> None:
    projects, members, metadata = client.project, client.member, client.project_metadata
    wanted = client.model("ProjectReq", project_name="shop", metadata=client.model("ProjectMetadata", public="false"))
    projects.create_project(wanted)
    projects.head_project("shop")
    assert {project.name for project in projects.list_projects()} == {"library", "shop"}
    project = projects.get_project("shop")
    assert project.metadata.public == "false"
    projects.update_project("shop", client.model("ProjectReq", metadata=client.model("ProjectMetadata", public="true")))
    assert projects.get_project_deletable("shop").deletable
    assert projects.get_project_summary("shop").repo_count == 0

    metadata.add_project_metadatas("shop", metadata={"severity": "high"})
    assert metadata.get_project_metadata("shop", "severity") == {"severity": "high"}
    metadata.update_project_metadata("shop", "severity", metadata={"severity": "low"})
    assert metadata.list_project_metadatas("shop")["severity"] == "low"
    metadata.delete_project_metadata("shop", "severity")

    carol = client.model("ProjectMember", role_id=2, member_user=client.model("UserEntity", username="carol"))
    member_id = location_id(members.create_project_member_with_http_info("shop", project_member=carol))
    assert members.get_project_member("shop", member_id).entity_name == "carol"
    members.update_project_member("shop", member_id, role=client.model("RoleRequest", role_id=4))
    assert ("carol", 4) in {(member.entity_name, member.role_id) for member in members.list_project_members("shop")}
    members.delete_project_member("shop", member_id)

    quotas = client.quota
    quotas.update_quota(project.project_id, client.model("QuotaUpdateReq", hard={"storage": 1_000_000}))
    quota = plain(quotas.get_quota_without_preload_content(project.project_id))
    assert quota["hard"] == {"storage": 1_000_000}
    assert quota in plain(quotas.list_quotas_without_preload_content(page_size=100))

    projects.create_project(client.model("ProjectReq", project_name="gone"))
    projects.delete_project("gone")


def manage_immutable_rules(client: Client) -> None:
    rules = client.immutable
    wanted = client.model(
        "ImmutableRule",
        action="immutable",
        template="immutable_template",
        tag_selectors=[client.model("ImmutableSelector", kind="doublestar", decoration="matches", pattern="v*")],
        scope_selectors={
            "repository": [
                client.model("ImmutableSelector", kind="doublestar", decoration="repoMatches", pattern="x/**")
            ]
        },
    )
    rule_id = location_id(rules.create_immu_rule_with_http_info("shop", immutable_rule=wanted))
    [held] = rules.list_immu_rules("shop")
    assert (held.id, held.disabled, held.tag_selectors[0].pattern) == (rule_id, False, "v*")
    held.disabled = True
    rules.update_immu_rule("shop", rule_id, immutable_rule=held)
    [held] = rules.list_immu_rules("shop")
    assert held.disabled
    rules.delete_immu_rule("shop", rule_id)
    assert rules.list_immu_rules("shop") == []


def manage_robots(client: Client) -> None:
    robots = client.robot
    access = [client.model("Access", resource="repository", action=action) for action in ("pull", "push")]
    wanted = client.model(
        "RobotCreate",
        name="builder",
        level="system",
        duration=7,
        permissions=[client.model("RobotPermission", kind="project", namespace="*", access=access)],
    )
    robot = robots.create_robot(wanted)
    assert robot.secret
    assert [found.name for found in robots.list_robot()] == [robot.name]
    held = robots.get_robot_by_id(robot.id)
    held.description = "builds"
    robots.update_robot(robot.id, held)
    assert robots.refresh_sec(robot.id, client.model("RobotSec")).secret != robot.secret
    robots.delete_robot(robot.id)


def look_at_artifacts(client: Client, installation: Installation) -> None:
    administrator = Login("admin", installation.admin_password)
    digest = push(installation.http_url, administrator, "shop/app", image(1), "v1")
    repositories, artifacts, labels = client.repository, client.artifact, client.label
    assert [found.name for found in repositories.list_all_repositories()] == ["shop/app"]
    assert [found.name for found in repositories.list_repositories("shop")] == ["shop/app"]
    repositories.update_repository("shop", "app", client.model("Repository", description="An app"))
    assert repositories.get_repository("shop", "app").description == "An app"

    [listed] = plain(artifacts.list_artifacts_without_preload_content("shop", "app", with_label=True))
    assert listed["digest"] == digest
    assert plain(artifacts.get_artifact_without_preload_content("shop", "app", "v1"))["id"] == listed["id"]
    assert client.icon.get_icon(listed["icon"]).content
    found = plain(client.project.list_artifacts_of_project_without_preload_content("shop"))
    assert [artifact["digest"] for artifact in found] == [digest]
    assert artifacts.list_accessories("shop", "app", "v1") == []
    assert artifacts.get_addition("shop", "app", "v1", "build_history") is not None
    artifacts.create_tag("shop", "app", "v1", client.model("NewTag", name="v2"))
    assert {tag.name for tag in artifacts.list_tags("shop", "app", digest)} == {"v1", "v2"}
    artifacts.delete_tag("shop", "app", "v1", "v2")

    label_id = location_id(labels.create_label_with_http_info(client.model("Label", name="stable", scope="g")))
    assert [found.name for found in labels.list_labels(scope="g")] == ["stable"]
    labels.update_label(label_id, client.model("Label", name="steady", color="#0065AB"))
    assert labels.get_label_by_id(label_id).name == "steady"
    artifacts.add_label("shop", "app", "v1", client.model("Label", id=label_id))
    labelled = plain(artifacts.get_artifact_without_preload_content("shop", "app", "v1", with_label=True))
    assert [label["id"] for label in labelled["labels"]] == [label_id]
    artifacts.remove_label("shop", "app", "v1", label_id)
    labels.delete_label(label_id)

    assert artifacts.copy_artifact_with_http_info("library", "copy", "shop/app:v1").status_code == 201
    artifacts.delete_artifact("library", "copy", digest)
    repositories.delete_repository("shop", "app")
    users = client.user
    [carol] = users.search_users("carol")
    users.delete_user(carol.user_id)
    [group] = client.usergroup.list_user_groups()
    client.usergroup.delete_user_group(group.id)


def manage_jobs(client: Client, installation: Installation) -> None:
    jobs = client.jobservice
    # Harbor has no operation that starts a job of any kind, so this one is ours.
    api = httpx.Client(base_url=f"{installation.http_url}/api/v2.0", auth=("admin", installation.admin_password))
    with api:
        started = api.post("/executions", json={"vendor_type": JOB}).raise_for_status()
        place = started.headers["Location"].removeprefix("/api/v2.0")
        (task,) = api.get(f"{place}/tasks").raise_for_status().json()
        wait_until(lambda: api.get(place).json()["status"] == "Success", "the job to end")
    assert "[INFO]" in jobs.action_get_job_log(str(task["id"]))
    client.refused(404, jobs.action_get_job_log, "999999")
    jobs.stop_running_job("999999")

    for action, paused in (("pause", True), ("resume", False)):
        jobs.action_pending_jobs(JOB, client.model("ActionRequest", action=action))
        assert [queue.paused for queue in jobs.list_job_queues() if queue.job_type == JOB] == [paused]
    places = sum(pool.concurrency for pool in jobs.get_worker_pools())
    assert len(jobs.get_workers("all")) == places
    assert JOB in {schedule.vendor_type for schedule in client.schedule.list_schedules()}
    assert client.schedule.get_schedule_paused("all").paused is False
