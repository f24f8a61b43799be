"""A real Docker engine: build, push, pull, run, manifest lists, and what a user reads who cannot have what is asked."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.engines import root_file_system
from tests.harness.programs import Client
from tests.harness.workspace import Login, Management, Workspace

pytestmark = pytest.mark.clients

Named = Callable[[str], str]


@pytest.fixture
def base(docker: Client, tmp_path: Path, repository: Named) -> Iterator[str]:
    """An image in the engine, made from this machine's shell. Its name is in the private project."""
    archive = tmp_path / "root.tar"
    archive.write_bytes(root_file_system())
    name = f"{repository('base')}:v1"
    # Each test has another label, and so another config: no test finds the push of another one.
    docker.run("import", "--change", f"LABEL test={name}", "--change", 'CMD ["/bin/sh"]', str(archive), name)
    yield name
    docker.attempt("image", "rm", "--force", name)


def _log_in(docker: Client, workspace: Workspace, login: Login) -> None:
    docker.run("login", "--username", login.name, "--password-stdin", workspace.host, input_text=login.secret)


def _digest(docker: Client, name: str) -> str:
    names: list[str] = json.loads(docker.run("image", "inspect", "--format", "{{json .RepoDigests}}", name))
    repository = name.rpartition(":")[0]
    return next(digest for digest in names if digest.startswith(f"{repository}@"))


def _run(docker: Client, name: str, script: str) -> str:
    return docker.run("run", "--rm", "--network", "host", name, "/bin/sh", "-c", script)


def test_an_image_is_pushed_pulled_again_and_runs(docker: Client, workspace: Workspace, base: str) -> None:
    _log_in(docker, workspace, workspace.maintainer)
    pushed = docker.run("push", base)
    by_digest = _digest(docker, base)
    assert by_digest.rpartition("@")[2] in pushed
    docker.run("image", "rm", base)

    docker.run("pull", base)
    assert _digest(docker, base) == by_digest
    docker.run("image", "rm", base)
    docker.run("pull", by_digest)

    assert _run(docker, by_digest, "echo it runs") == "it runs\n"


@pytest.mark.parametrize("buildkit", ["0", "1"], ids=["classic", "buildkit"])
def test_a_build_begins_with_a_pushed_image_and_its_result_runs_after_a_pull(
    docker: Client, workspace: Workspace, base: str, repository: Named, tmp_path: Path, buildkit: str
) -> None:
    _log_in(docker, workspace, workspace.maintainer)
    docker.run("push", base)
    docker.run("image", "rm", base)
    context = tmp_path / "context"
    context.mkdir()
    (context / "file").write_text("copied\n")
    (context / "Dockerfile").write_text(
        f"FROM {base}\n"
        "COPY file /file\n"
        'RUN ["/bin/sh", "-c", "read line < /file; echo built from $line > /built"]\n'
        'CMD ["/bin/sh", "-c", "read line < /built; echo $line"]\n'
    )
    built = f"{repository('built')}:v1"

    docker.run("build", "--network", "host", "--tag", built, str(context), DOCKER_BUILDKIT=buildkit)
    docker.run("push", built)
    docker.run("image", "rm", built)
    docker.run("pull", built)

    assert docker.run("run", "--rm", "--network", "host", built) == "built from copied\n"


def test_layers_that_the_project_has_are_not_sent_again(
    docker: Client, workspace: Workspace, base: str, repository: Named
) -> None:
    _log_in(docker, workspace, workspace.maintainer)
    docker.run("push", base)
    copy = f"{repository('copy')}:v1"
    docker.run("tag", base, copy)

    pushed = docker.run("push", copy)

    assert "Mounted from" in pushed
    assert _digest(docker, copy).rpartition("@")[2] in pushed


def test_a_manifest_list_is_made_pushed_and_pulled_by_platform(
    docker: Client, workspace: Workspace, base: str, repository: Named
) -> None:
    _log_in(docker, workspace, workspace.maintainer)
    listed = f"{repository('base')}:all"
    other = f"{repository('base')}:arm64"
    docker.run("tag", base, other)
    for name in (base, other):
        docker.run("push", name)

    docker.run("manifest", "create", "--insecure", listed, base)
    docker.run("manifest", "annotate", listed, base, "--os-features", "tested")
    digest = docker.run("manifest", "push", "--insecure", listed).strip()

    document = json.loads(docker.run("manifest", "inspect", "--insecure", listed))
    assert document["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert document["manifests"][0]["digest"] == _digest(docker, base).rpartition("@")[2]
    assert document["manifests"][0]["platform"]["os.features"] == ["tested"]
    docker.run("image", "rm", base, other)
    assert digest in docker.run("pull", listed)
    assert _run(docker, listed, "echo from the list") == "from the list\n"
    refused = docker.attempt("pull", "--platform", "linux/s390x", listed)
    assert refused.returncode != 0
    assert "no matching manifest for linux/s390x" in refused.stderr


def test_a_tag_that_does_not_exist_is_named(docker: Client, workspace: Workspace, base: str) -> None:
    _log_in(docker, workspace, workspace.maintainer)
    docker.run("push", base)
    missing = base.replace(":v1", ":v2")

    refused = docker.attempt("pull", missing)

    assert refused.returncode != 0
    assert "manifest" in refused.stderr
    assert "unknown" in refused.stderr or "not found" in refused.stderr


def test_a_full_project_is_named_when_a_push_is_refused(
    docker: Client, workspace: Workspace, management: Management, base: str
) -> None:
    project = management.create_project(storage_limit=1024)
    full = f"{workspace.host}/{project}/app:v1"
    docker.run("tag", base, full)
    _log_in(docker, workspace, management.admin)

    refused = docker.attempt("push", full)

    assert refused.returncode != 0
    assert "quota" in refused.stderr
