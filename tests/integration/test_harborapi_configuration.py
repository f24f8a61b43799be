"""harborapi changes the runtime configuration, and every process obeys within five seconds."""

import os
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest
from harborapi.models import (
    Configurations,
    ConfigurationsResponse,
    CVEAllowlist,
    CVEAllowlistItem,
    ProjectMetadata,
    ProjectReq,
)

from tests.harness.installation import Installation, running_installation
from tests.harness.plain_http import NO_TLS
from tests.harness.waiting import wait_until

# harborapi uses a deprecated feature of pydantic; only harborapi can change that.
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]

EFFECTIVE_SECONDS = 5.0

Api = httpx.Client


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose configuration nobody else relies on, with two gateways."""
    variables = {"ROADSTEAD_AUTHSVC_CONFIGURATION__SESSION_TIMEOUT_MINUTES": "120"}
    with running_installation(tmp_path_factory.mktemp("own") / "data", workers=2, environment=variables) as running:
        yield running


@pytest.fixture
async def harbor(own: Installation) -> AsyncIterator[HarborAsyncClient]:
    client = HarborAsyncClient(url=f"{own.http_url}/api/v2.0/", username="admin", secret=own.admin_password)
    yield client
    await client.client.aclose()


@pytest.fixture
def api(own: Installation) -> Iterator[Api]:
    """A plain client of the administrator."""
    with httpx.Client(
        base_url=f"{own.http_url}/api/v2.0/",
        auth=("admin", own.admin_password),
        trust_env=False,
        verify=NO_TLS,
        timeout=60,
    ) as client:
        yield client


def within_five_seconds(look: Callable[[], object], what: str) -> None:
    wait_until(look, what, seconds=EFFECTIVE_SECONDS)


async def test_it_reads_and_changes_the_configuration(harbor: HarborAsyncClient) -> None:
    before = await harbor.get_config()
    assert isinstance(before, ConfigurationsResponse)
    assert before.robot_name_prefix is not None
    assert (before.robot_name_prefix.value, before.robot_name_prefix.editable) == ("robot$", True)
    await harbor.update_config(Configurations(robot_token_duration=90, banner_message='{"message":"Hello"}'))
    after = await harbor.get_config()
    assert after.robot_token_duration is not None
    assert after.robot_token_duration.value == 90
    with pytest.raises(BadRequest):
        await harbor.update_config(Configurations(storage_per_project=0))


async def test_every_gateway_shows_a_change_within_five_seconds(harbor: HarborAsyncClient, own: Installation) -> None:
    await harbor.update_config(Configurations(banner_message="Maintenance at noon", self_registration=True))

    def shown_by_all() -> bool:
        # Each connection goes to one of the gateways.
        answers = [httpx.get(f"{own.http_url}/api/v2.0/systeminfo", trust_env=False, verify=NO_TLS) for _ in range(12)]
        return {(answer.json()["banner_message"], answer.json()["self_registration"]) for answer in answers} == {
            ("Maintenance at noon", True)
        }

    within_five_seconds(shown_by_all, "every gateway to show the banner")


async def test_new_projects_obey_at_once(harbor: HarborAsyncClient, api: Api) -> None:
    await harbor.update_config(Configurations(storage_per_project=4096))
    await harbor.create_project(ProjectReq(project_name="small"))
    assert api.get("projects/small/summary").json()["quota"]["hard"] == {"storage": 4096}
    await harbor.update_config(Configurations(storage_per_project=-1))


def test_the_json_is_harbors(api: Api) -> None:
    shown = api.get("configurations").raise_for_status().json()
    assert shown["token_expiration"] == {"value": 30, "editable": True}
    assert shown["auth_mode"] == {"value": "db_auth", "editable": False}
    assert shown["scanner_skip_update_pulltime"] == {"value": False, "editable": True}
    assert api.get("internalconfig").raise_for_status().json() == shown
    changed = api.put("configurations", json={"token_expiration": 31, "ldap_url": "ldap://x", "no_such_key": 1})
    assert (changed.status_code, changed.content) == (200, b"")
    assert "ldap_url" not in api.get("configurations").json()
    assert api.get("configurations").json()["token_expiration"]["value"] == 31


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_expiration": "31"},
        {"read_only": "true"},
        {"auth_mode": "oidc_auth"},
        {"session_timeout": 0},
        {"storage_per_project": 0},
    ],
)
def test_wrong_values_are_refused_by_name(api: Api, wrong: dict[str, object]) -> None:
    refused = api.put("configurations", json=wrong)
    assert refused.status_code == 400
    [error] = refused.json()["errors"]
    assert error["code"] == "BAD_REQUEST"
    assert f"{next(iter(wrong))}: must be " in error["message"]


def test_what_the_settings_fix_is_forbidden(api: Api) -> None:
    assert api.get("configurations").json()["session_timeout"] == {"value": 120, "editable": False}
    refused = api.put("configurations", json={"session_timeout": 60})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "FORBIDDEN")


def test_strangers_and_users_hear_who_may(own: Installation, api: Api) -> None:
    user = {"username": "mallory", "email": "m@example.com", "realname": "M", "password": "Passw0rd-1"}
    api.post("users", json=user).raise_for_status()
    for path in ("configurations", "internalconfig"):
        assert httpx.get(f"{own.http_url}/api/v2.0/{path}", trust_env=False, verify=NO_TLS).status_code == 401
        assert (
            httpx.get(
                f"{own.http_url}/api/v2.0/{path}", auth=("mallory", "Passw0rd-1"), trust_env=False, verify=NO_TLS
            ).status_code
            == 403
        )


async def test_it_keeps_cve_allowlists(harbor: HarborAsyncClient, api: Api) -> None:
    await harbor.update_cve_allowlist(CVEAllowlist(items=[CVEAllowlistItem(cve_id="CVE-2019-10164")]))
    system = await harbor.get_cve_allowlist()
    assert system.items is not None
    assert [item.cve_id for item in system.items] == ["CVE-2019-10164"]
    await harbor.create_project(ProjectReq(project_name="listed"))
    assert (await harbor.get_project("listed")).cve_allowlist is not None
    await harbor.update_project(
        "listed", ProjectReq(cve_allowlist=CVEAllowlist(items=[CVEAllowlistItem(cve_id="CVE-1")], expires_at=1))
    )
    kept = (await harbor.get_project("listed")).cve_allowlist
    assert kept is not None
    assert kept.items is not None
    assert ([item.cve_id for item in kept.items], kept.expires_at) == (["CVE-1"], 1)
    other = {"cve_allowlist": {"project_id": 1, "items": []}}
    refused = api.put("projects/listed", json=other)
    assert refused.status_code == 400
    assert "project_id in cve_allowlist must be" in refused.json()["errors"][0]["message"]


async def test_it_reads_and_writes_single_settings(harbor: HarborAsyncClient, api: Api) -> None:
    await harbor.create_project(ProjectReq(project_name="settings"))
    await harbor.set_project_metadata("settings", ProjectMetadata(severity="high"))
    assert (await harbor.get_project_metadata("settings")).severity == "high"
    await harbor.update_project_metadata_entry("settings", "severity", ProjectMetadata(severity="low"))
    entry = await harbor.get_project_metadata_entry("settings", "severity")
    assert entry["severity"] == "low"
    await harbor.delete_project_metadata_entry("settings", "severity")
    assert api.get("projects/settings/metadatas/").json() == {"public": "false"}
    for path, body, status, text in (
        ("metadatas/", {"k": "v"}, 400, "invalid key: k"),
        ("metadatas/", {"public": "true"}, 409, "public"),
        ("metadatas/", {"prevent_vul": "true"}, 412, "there is no scanner"),
    ):
        refused = api.post(f"projects/settings/{path}", json=body)
        assert refused.status_code == status, refused.text
        assert text in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "path",
    ["configurations", "system/CVEAllowlist", "projects/library", "projects/library/metadatas/public", "quotas/1"],
)
def test_an_update_without_a_body_is_refused(api: Api, path: str) -> None:
    refused = api.put(path)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "UNPROCESSABLE_ENTITY")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"registry_id": 7}, 400),
        ({"registry_id": 0}, 400),
        ({"metadata": {"retention_id": "7"}}, 400),
        ({"metadata": {"auto_scan": "true"}}, 412),
        ({"storage_limit": 2**50 + 1}, 400),
    ],
)
def test_what_a_project_cannot_have_is_refused(api: Api, body: dict[str, object], status: int) -> None:
    assert api.post("projects", json={"project_name": "refused", **body}).status_code == status
    assert api.head("projects", params={"project_name": "refused"}).status_code == 404


@pytest.mark.parametrize("hard", [{"storage": 0}, {"storage": 1000, "count": 10}, {"storage": 2**50 + 1}, {}])
def test_a_quota_that_means_nothing_is_refused(api: Api, hard: dict[str, int]) -> None:
    assert api.put("quotas/1", json={"hard": hard}).status_code == 400
    assert api.get("quotas/1").json()["hard"] == {"storage": -1}


async def test_it_sees_the_disk_and_no_certificate(harbor: HarborAsyncClient, own: Installation, api: Api) -> None:
    volumes = await harbor.get_system_volume_info()
    assert volumes.storage is not None
    [volume] = volumes.storage
    assert volume.total is not None
    status = os.statvfs(own.data_dir)
    assert volume.total == status.f_blocks * status.f_frsize
    assert volume.free is not None
    assert 0 < volume.free < volume.total
    assert api.get("systeminfo/getcert").status_code == 404
