"""What Harbor's client does with artifacts, against a running installation."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, NotFound
from harborapi.models import ProjectReq

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
