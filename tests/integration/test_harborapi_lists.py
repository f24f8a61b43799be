"""harborapi, unmodified, on labels and lists."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, NotFound
from harborapi.models import Label, ProjectMetadata, ProjectReq, Tag

from tests.harness.images import image
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
    client = HarborAsyncClient(
        url=f"{installation.http_url}/api/v2.0/", username="admin", secret=installation.admin_password
    )
    yield client
    await client.client.aclose()


@pytest.fixture
async def project(harbor: HarborAsyncClient) -> str:
    name = f"l{secrets.token_hex(5)}"
    await harbor.create_project(ProjectReq(project_name=name, metadata=ProjectMetadata(public="false")))
    return name


async def id_of(harbor: HarborAsyncClient, project: str) -> int:
    found = (await harbor.get_project(project)).project_id
    assert found is not None
    return found


async def make_label(harbor: HarborAsyncClient, name: str, project_id: int | None = None) -> int:
    scope = "g" if project_id is None else "p"
    location = await harbor.create_label(Label(name=name, scope=scope, project_id=project_id, color="#0065AB"))
    prefix, _, label_id = location.rpartition("/")
    assert prefix == "/api/v2.0/labels"
    return int(label_id)


async def push_tags(installation: Installation, repository: str, *tags: str) -> None:
    login = Login("admin", installation.admin_password)
    for number, tag in enumerate(tags):
        await asyncio.to_thread(push, installation.http_url, login, repository, image(number), tag)


async def test_it_keeps_labels(harbor: HarborAsyncClient, project: str) -> None:
    project_id = await id_of(harbor, project)
    name = f"g{secrets.token_hex(5)}"
    everywhere, own = await make_label(harbor, name), await make_label(harbor, "own", project_id)

    with pytest.raises(Conflict):
        await make_label(harbor, name)
    with pytest.raises(BadRequest):
        await harbor.create_label(Label(name="nowhere", scope="p"))
    with pytest.raises(BadRequest):
        await harbor.get_labels()
    with pytest.raises(BadRequest):
        await harbor.get_labels(scope="p")
    assert [label.id for label in await harbor.get_labels(scope="g", name=name.upper())] == [everywhere]
    assert [label.name for label in await harbor.get_labels(scope="p", project_id=project_id)] == ["own"]

    read = await harbor.get_label(own)
    assert (read.name, read.scope, read.project_id, read.color) == ("own", "p", project_id, "#0065AB")
    assert read.creation_time is not None
    # The whole object that was read, as the portal sends it.
    await harbor.update_label(own, read.model_copy(update={"description": "changed", "scope": "g", "project_id": 0}))
    changed = await harbor.get_label(own)
    assert (changed.description, changed.scope, changed.project_id) == ("changed", "p", project_id)
    with pytest.raises(BadRequest):
        await harbor.update_label(own, Label(description="without a name"))

    for label_id in (everywhere, own):
        await harbor.delete_label(label_id)
        with pytest.raises(NotFound):
            await harbor.get_label(label_id)


async def test_it_puts_labels_on_artifacts(harbor: HarborAsyncClient, project: str, installation: Installation) -> None:
    await push_tags(installation, f"{project}/sub/app", "v1", "v2")
    project_id = await id_of(harbor, project)
    own, other = await make_label(harbor, "own", project_id), await make_label(harbor, "other", project_id)

    await harbor.add_artifact_label(project, "sub/app", "v1", Label(id=own))
    await harbor.add_artifact_label(project, "sub/app", "v1", Label(id=other))
    await harbor.add_artifact_label(project, "sub/app", "v2", Label(id=other))
    with pytest.raises(Conflict):
        await harbor.add_artifact_label(project, "sub/app", "v1", Label(id=own))

    artifact = await harbor.get_artifact(project, "sub/app", "v1", with_label=True)
    assert [label.name for label in artifact.labels or []] == ["other", "own"]
    assert not (await harbor.get_artifact(project, "sub/app", "v1")).labels

    async def tags(query: str) -> list[str | None]:
        artifacts = await harbor.get_artifacts(project, "sub/app", query=query, sort="push_time", with_label=True)
        return [tag.name for artifact in artifacts for tag in artifact.tags or []]

    assert await tags(f"labels=({other})") == ["v1", "v2"]
    assert await tags(f"labels=({own} {other})") == ["v1"]

    await harbor.delete_artifact_label(project, "sub/app", "v1", own)
    assert await tags(f"labels=({own})") == []
    with pytest.raises(NotFound):
        await harbor.delete_artifact_label(project, "sub/app", "v1", own)
    # A label of another project.
    elsewhere = f"l{secrets.token_hex(5)}"
    await harbor.create_project(ProjectReq(project_name=elsewhere))
    foreign = await make_label(harbor, "foreign", await id_of(harbor, elsewhere))
    with pytest.raises(NotFound):
        await harbor.add_artifact_label(project, "sub/app", "v1", Label(id=foreign))


async def test_it_filters_and_sorts_lists(harbor: HarborAsyncClient, project: str, installation: Installation) -> None:
    for repository, tags in (("a", ("v1", "v2")), ("sub/b", ("v1", "w1", "w2"))):
        await push_tags(installation, f"{project}/{repository}", *tags)

    async def repositories(query: str | None = None, sort: str | None = None) -> list[str | None]:
        return [each.name for each in await harbor.get_repositories(project, query=query, sort=sort)]

    assert await repositories("name=~/B") == [f"{project}/sub/b"]
    assert await repositories(f"name={{{project}/a {project}/none}}") == [f"{project}/a"]
    assert await repositories("pull_count=[0~0]", "pull_count,-name") == [f"{project}/sub/b", f"{project}/a"]
    assert await repositories(sort="-CreationTime") == [f"{project}/sub/b", f"{project}/a"]
    for query, sort in (("colour=red", None), (None, "colour"), ("pull_count=many", None)):
        with pytest.raises(BadRequest):
            await repositories(query, sort)

    async def artifacts(query: str | None = None, sort: str = "push_time") -> list[str | None]:
        found = await harbor.get_artifacts(project, "sub/b", query=query, sort=sort, page_size=2)
        return [tag.name for artifact in found for tag in artifact.tags or []]

    assert await artifacts() == ["v1", "w1", "w2"]
    assert await artifacts(sort="-push_time") == ["w2", "w1", "v1"]
    assert await artifacts("tags=~w") == ["w1", "w2"]
    assert await artifacts("tags={v1 w2}") == ["v1", "w2"]
    assert await artifacts("tags=nil") == []
    assert await artifacts("media_type=application/vnd.oci.image.config.v1+json,tags=*") == ["v1", "w1", "w2"]
    assert await artifacts("push_time=[2100-01-01T00:00:00~]") == []

    await harbor.create_artifact_tag(project, "sub/b", "v1", Tag(name="x1"))
    found = await harbor.get_artifact_tags(project, "sub/b", "v1", query="name=~1", sort="-name")
    assert [tag.name for tag in found] == ["x1", "v1"]
    assert await harbor.get_artifact_accessories(project, "sub/b", "v1", query="type=signature.cosign") == []
    with pytest.raises(BadRequest):
        await harbor.get_artifact_accessories(project, "sub/b", "v1", query="colour=red")


async def test_it_lists_the_artifacts_of_a_project(
    harbor: HarborAsyncClient, project: str, installation: Installation
) -> None:
    for repository, tags in (("a", ("v1", "v2")), ("sub/b", ("w1",))):
        await push_tags(installation, f"{project}/{repository}", *tags)
    media_type = "media_type=application/vnd.oci.image.config.v1+json"

    found = await harbor.get_project_artifacts(project, sort="push_time", with_tag=True, page_size=2)
    # harborapi's own argument for it sends a parameter that Harbor does not have.
    path = f"/projects/{await id_of(harbor, project)}/artifacts"
    latest: Any = await harbor.get(path, params={"q": media_type, "latest_in_repository": True})

    shown = [(each.repository_name, tag.name) for each in found for tag in each.tags or []]
    assert shown == [(f"{project}/a", "v1"), (f"{project}/a", "v2"), (f"{project}/sub/b", "w1")]
    assert [each["digest"] for each in latest] == [found[2].digest, found[1].digest]
    assert not any(each.tags for each in await harbor.get_project_artifacts(project))
    with pytest.raises(BadRequest):
        await harbor.get(path, params={"latest_in_repository": True})
