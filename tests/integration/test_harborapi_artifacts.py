"""What Harbor's client does with artifacts, against a running installation."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from harborapi.models import ImmutableRule, ImmutableSelector, ProjectReq

from tests.harness.images import image, index
from tests.harness.installation import Installation
from tests.harness.push import push
from tests.harness.workspace import Login

# harborapi uses a deprecated feature of pydantic; only harborapi can change that.
pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
]


@pytest.fixture
async def harbor(installation: Installation) -> AsyncIterator[HarborAsyncClient]:
    """A client, which is closed at the end, because it never closes itself."""
    url = f"{installation.http_url}/api/v2.0/"
    client = HarborAsyncClient(url=url, username="admin", secret=installation.admin_password)
    yield client
    await client.client.aclose()


@pytest.fixture
async def project(harbor: HarborAsyncClient) -> str:
    name = f"h{secrets.token_hex(5)}"
    await harbor.create_project(ProjectReq(project_name=name))
    return name


async def test_it_copies_an_index_into_another_project(
    harbor: HarborAsyncClient, installation: Installation, project: str
) -> None:
    login = Login("admin", installation.admin_password)
    many = index([image(51), image(52, architecture="arm64")])
    await asyncio.to_thread(push, installation.http_url, login, f"{project}/app", many, "v1", "latest")
    target = f"h{secrets.token_hex(5)}"
    await harbor.create_project(ProjectReq(project_name=target))
    location = await harbor.copy_artifact(target, "deep/copy", f"{project}/app:v1")
    assert location.endswith("/artifacts/v1")
    copied = await harbor.get_artifact(target, "deep/copy", "v1")
    assert copied.digest == many.digest
    assert {tag.name for tag in copied.tags or []} == {"v1", "latest"}
    with pytest.raises(NotFound):
        await harbor.copy_artifact(target, "deep/copy", f"{project}/app:absent")
    with pytest.raises(BadRequest):
        await harbor.copy_artifact(target, "deep/copy", f"{project}/app")


async def test_it_reads_what_an_image_was_built_of(
    harbor: HarborAsyncClient, installation: Installation, project: str
) -> None:
    login = Login("admin", installation.admin_password)
    pushed = image(53)
    await asyncio.to_thread(push, installation.http_url, login, f"{project}/app", pushed, "v1")
    history = await harbor.get_artifact_build_history(project, "app", "v1")
    config = json.loads(pushed.blobs[pushed.config["digest"]])
    assert [entry.created_by for entry in history] == [step["created_by"] for step in config["history"]]
    artifact = await harbor.get_artifact(project, "app", "v1")
    assert artifact.addition_links is not None
    assert "build_history" in (artifact.addition_links.root or {})


async def test_it_searches_counts_and_shows_icons(
    harbor: HarborAsyncClient, installation: Installation, project: str
) -> None:
    login = Login("admin", installation.admin_password)
    await asyncio.to_thread(push, installation.http_url, login, f"{project}/app", image(54), "v1")
    found = await harbor.search(project)
    assert [each.name for each in found.project or []] == [project]
    assert [each.repository_name for each in found.repository or []] == [f"{project}/app"]
    statistics = await harbor.get_statistics()
    assert (statistics.total_repo_count or 0) > 0
    assert (statistics.total_storage_consumption or 0) > 0
    artifact = await harbor.get_artifact(project, "app", "v1")
    icon = await harbor.get_icon(artifact.icon or "")
    assert base64.b64decode(icon.content or "").startswith(b"\x89PNG")
    assert icon.content_type == "image/png"


async def test_it_keeps_immutable_rules(harbor: HarborAsyncClient, installation: Installation, project: str) -> None:
    login = Login("admin", installation.admin_password)
    await asyncio.to_thread(push, installation.http_url, login, f"{project}/team/app", image(55), "v1", "latest")
    rule = ImmutableRule(
        priority=0,
        disabled=False,
        action="immutable",
        template="immutable_template",
        tag_selectors=[ImmutableSelector(kind="doublestar", decoration="matches", pattern="v*")],
        scope_selectors={
            "repository": [ImmutableSelector(kind="doublestar", decoration="repoMatches", pattern="team/**")]
        },
    )
    location = await harbor.create_project_immutable_tag_rule(project, rule)
    rule_id = int(location.rpartition("/")[2])
    with pytest.raises(Conflict):
        await harbor.create_project_immutable_tag_rule(project, rule)
    (read,) = await harbor.get_project_immutable_tag_rules(project)
    assert (read.id, read.disabled, read.tag_selectors) == (rule_id, False, rule.tag_selectors)
    assert read.scope_selectors == rule.scope_selectors

    shown = await harbor.get_artifact_tags(project, "team/app", "v1", with_immutable_status=True)
    assert {tag.name: tag.immutable for tag in shown} == {"v1": True, "latest": False}
    artifact = await harbor.get_artifact(project, "team/app", "v1", with_immutable_status=True)
    assert {tag.name: tag.immutable for tag in artifact.tags or []} == {"v1": True, "latest": False}
    with pytest.raises(PreconditionFailed):
        await harbor.delete_artifact_tag(project, "team/app", "v1", "v1")
    with pytest.raises(PreconditionFailed):
        await harbor.delete_artifact(project, "team/app", "latest")

    changed = read.model_copy(update={"disabled": True, "template": "other"})
    await harbor.update_project_immutable_tag_rule(project, rule_id, changed)
    # The whole rule is set. Harbor sets `disabled` only, if it has changed.
    (read,) = await harbor.get_project_immutable_tag_rules(project)
    assert (read.disabled, read.template, read.tag_selectors) == (True, "other", rule.tag_selectors)
    # This sends nothing but `disabled`.
    await harbor.enable_project_immutable_tagrule(project, rule_id, enabled=True)
    (read,) = await harbor.get_project_immutable_tag_rules(project)
    assert (read.disabled, read.template, read.tag_selectors) == (False, "other", rule.tag_selectors)
    with pytest.raises(BadRequest):
        await harbor.update_project_immutable_tag_rule(project, rule_id, read.model_copy(update={"id": rule_id + 1}))

    await harbor.delete_project_immutable_tag_rule(project, rule_id)
    assert await harbor.get_project_immutable_tag_rules(project) == []
    with pytest.raises(NotFound):
        await harbor.delete_project_immutable_tag_rule(project, rule_id)
    await harbor.delete_artifact(project, "team/app", "v1")
