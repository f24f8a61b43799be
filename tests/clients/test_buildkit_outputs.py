"""What BuildKit pushes: an image with provenance, and a cache as a manifest and as an index.

BuildKit takes minutes to build, so outputs of the real program are pushed here by plain requests.
`tests/acceptance/test_buildkit.py` runs the program itself.
"""

from collections.abc import Callable

import pytest

from tests.harness.buildkit_outputs import Registry, check_cache, check_provenance
from tests.harness.push import push
from tests.harness.recorded_buildkit import recorded_outputs
from tests.harness.workspace import Login, Workspace

pytestmark = pytest.mark.clients

_OUTPUTS = recorded_outputs()

Named = Callable[[str], str]


@pytest.fixture
def path(workspace: Workspace, repository: Named) -> str:
    """The name of a repository, without the host."""
    return repository("built").removeprefix(f"{workspace.host}/")


@pytest.mark.parametrize("form", ["provenance-artifact", "provenance-image"])
def test_an_image_with_provenance_is_an_index_and_the_two_belong_together(
    workspace: Workspace, login: Login, path: str, form: str
) -> None:
    output, registry = _OUTPUTS[form], Registry(workspace, login)

    push(workspace.http_url, login, path, output, "v1")

    image, attestation = output.children
    assert check_provenance(registry, path, "v1") == (image.digest, attestation.digest)
    assert registry.image(path, "v1").manifest == output.manifest
    # Lists show the index alone, and with it goes all the rest.
    assert [each["digest"] for each in registry.artifacts(path)] == [output.digest]
    registry.delete(path, "v1")
    assert registry.artifacts(path) == []
    assert registry.referrers(path, image.digest) == []


@pytest.mark.parametrize("form", ["cache-manifest", "cache-index"])
def test_a_cache_comes_back_with_every_layer(workspace: Workspace, login: Login, path: str, form: str) -> None:
    output, registry = _OUTPUTS[form], Registry(workspace, login)

    push(workspace.http_url, login, path, output, "cache")

    check_cache(registry, path, "cache")
    assert registry.image(path, "cache").blobs == output.blobs
