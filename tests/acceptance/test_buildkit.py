"""BuildKit: builds from a pushed base, with provenance, and with a cache in the registry that a new machine uses."""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.buildkit import STEPS, Builder, base_image, buildkitd, write_context
from tests.harness.buildkit_outputs import Registry, check_cache, check_provenance
from tests.harness.programs import Client
from tests.harness.push import push
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.acceptance

_PROVENANCE = "--opt=attest:provenance=mode=max"

StartBuilder = Callable[[], Builder]


@pytest.fixture(params=["user", "robot"])
def login(request: pytest.FixtureRequest, workspace: Workspace) -> Login:
    """Who builds."""
    return workspace.maintainer if request.param == "user" else workspace.robot


@pytest.fixture
def start_builder(workspace: Workspace, login: Login, tmp_path: Path) -> Iterator[StartBuilder]:
    """Starts builders, each on a machine of its own: with an empty state, and logged in."""
    with ExitStack() as stack:
        count = 0

        def start() -> Builder:
            nonlocal count
            count += 1
            daemon = stack.enter_context(buildkitd(tmp_path / f"machine-{count}"))
            builder = Builder(daemon, tmp_path / f"home-{count}")
            builder.log_in(workspace.host, login)
            return builder

        yield start


@pytest.fixture
def named(workspace: Workspace, request: pytest.FixtureRequest) -> str:
    """The first part of the names of a test's repositories, without the host."""
    return f"{workspace.project}/{request.node.name.replace('[', '-').rstrip(']')}"


@pytest.fixture
def context(workspace: Workspace, named: str, tmp_path: Path) -> Path:
    """What is built, from a base in the private project."""
    push(workspace.http_url, workspace.maintainer, f"{named}/base", base_image(named), "v1")
    return write_context(tmp_path / "context", f"{workspace.host}/{named}/base:v1")


@pytest.fixture
def registry(workspace: Workspace, login: Login) -> Registry:
    """The registry."""
    return Registry(workspace, login)


@pytest.mark.parametrize("form", ["manifest", "index"])
def test_a_new_machine_finds_every_step_in_the_cache_of_the_registry(
    *, start_builder: StartBuilder, registry: Registry, workspace: Workspace, named: str, context: Path, crane: Client,
    form: str, tmp_path: Path,
) -> None:  # fmt: skip
    cache = f"type=registry,ref={workspace.host}/{named}/cache:v1"
    kept = f"--export-cache={cache},mode=max,image-manifest={str(form == 'manifest').lower()}"

    first = start_builder().build(context, f"{workspace.host}/{named}/app:v1", kept)
    second = start_builder().build(context, f"{workspace.host}/{named}/app:v2", f"--import-cache={cache}")

    assert first.cached_steps == ()
    assert second.cached_steps == STEPS
    # Both made the same image, and it has what was built.
    assert first.digest == second.digest
    archive = tmp_path / "app.tar"
    crane.run("export", "--insecure", f"{workspace.host}/{named}/app@{second.digest}", str(archive))
    with tarfile.open(archive) as tar:
        made = tar.extractfile("made")
        assert made is not None
        assert made.read() == b"made from copied\n"
    check_cache(registry, f"{named}/cache", "v1")


@pytest.mark.parametrize("form", ["artifact", "image"])
def test_provenance_is_in_the_index_and_an_accessory_of_its_image_if_it_says_so(
    *, start_builder: StartBuilder, registry: Registry, workspace: Workspace, named: str, context: Path, form: str
) -> None:
    repository = f"{named}/app"
    output = f"oci-artifact={str(form == 'artifact').lower()}"

    built = start_builder().build(context, f"{workspace.host}/{repository}:v1", _PROVENANCE, output=output)

    assert registry.artifact(repository, "v1")["digest"] == built.digest
    image, attestation = check_provenance(registry, repository, "v1")
    assert ("subject" in registry.manifest(repository, attestation)) == (form == "artifact")
    assert len(registry.referrers(repository, image)) == (form == "artifact")
    # Lists show the index alone.
    assert [each["digest"] for each in registry.artifacts(repository)] == [built.digest]


def test_provenance_stays_with_its_image_until_the_last_build_of_it_is_deleted(
    *, start_builder: StartBuilder, registry: Registry, workspace: Workspace, named: str, context: Path
) -> None:
    builder, repository = start_builder(), f"{named}/app"
    first, second = (
        builder.build(context, f"{workspace.host}/{repository}:{tag}", _PROVENANCE).digest for tag in ("v1", "v2")
    )
    image, of_first = check_provenance(registry, repository, "v1")
    same, of_second = check_provenance(registry, repository, "v2")
    assert (image, first != second, of_first != of_second) == (same, True, True)

    registry.delete(repository, "v1")
    assert check_provenance(registry, repository, "v2") == (image, of_second)
    # Its subject is still there.
    assert {each["digest"] for each in registry.referrers(repository, image)} == {of_first, of_second}
    registry.delete(repository, "v2")
    assert registry.artifacts(repository) == []
    assert registry.referrers(repository, image) == []
