"""Every client that has an adapter."""

from tests.harness.registry_clients.buildkit import BuildKit
from tests.harness.registry_clients.containerd import Containerd
from tests.harness.registry_clients.cosign import Cosign, CosignByReferrer
from tests.harness.registry_clients.crane import Crane
from tests.harness.registry_clients.docker import Docker
from tests.harness.registry_clients.helm import Helm
from tests.harness.registry_clients.oras import Oras
from tests.harness.registry_clients.oras_py import OrasPy
from tests.harness.registry_clients.podman import Buildah, Podman
from tests.harness.registry_clients.port import RegistryClient
from tests.harness.registry_clients.skopeo import Skopeo
from tests.harness.registry_clients.skopeo_sync import SkopeoSync

CLIENTS: tuple[type[RegistryClient], ...] = (
    Docker,
    Containerd,
    Podman,
    Buildah,
    Skopeo,
    SkopeoSync,
    Crane,
    Oras,
    OrasPy,
)
"""Those that CI drives: Debian's packages, libraries, and programs that are built within a minute."""

HEAVY_CLIENTS: tuple[type[RegistryClient], ...] = (BuildKit, Helm, Cosign, CosignByReferrer)
"""Those that `make acceptance` builds and drives."""
