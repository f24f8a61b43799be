"""helm, which pushes charts."""

import io
import tarfile
from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient, docker_login_file


class Helm(RegistryClient):
    """It reads its logins from a file of its own, then from Docker's. The repository is named after the chart."""

    name: ClassVar = "helm"
    program: ClassVar = "helm"
    client_id: ClassVar = "oras-go"
    takes: ClassVar = "registry token"
    sends_as_given: ClassVar = False
    log_in_line: ClassVar = 'helm registry login --plain-http --username "$NAME" --password-stdin "$REGISTRY" < secret'
    push_lines: ClassVar = ('helm push --plain-http chart.tgz "oci://$REGISTRY/$PROJECT"',)
    pull_lines: ClassVar = (
        'helm pull --plain-http --version "$TAG" --destination pulled "oci://$REGISTRY/$PROJECT/$CHART"',
    )
    log_out_line: ClassVar = 'helm registry logout "$REGISTRY"'

    def take_token(self, token: str) -> None:
        self._program.write(".docker/config.json", docker_login_file(self.registry, registry_token=token))

    def push(self, pushed: Image, image: str) -> Outcome:
        _, chart, tag = _parts(image)
        (self.folder / "chart.tgz").write_bytes(_chart(chart, tag, pushed.digest))
        return self._moved(*self.push_lines, image=image)

    def pull(self, image: str) -> Outcome:
        (self.folder / "pulled").mkdir(exist_ok=True)
        return self._moved(*self.pull_lines, image=image)

    def _moved(self, *lines: str, image: str) -> Outcome:
        project, chart, tag = _parts(image)
        outcome = self._run(*lines, PROJECT=project, CHART=chart, TAG=tag)
        return self._with_digest(outcome, outcome.output + outcome.errors)


def _parts(image: str) -> tuple[str, str, str]:
    """Project, chart and version of "HOST:PORT/project/chart:version"."""
    _, project, rest = image.split("/")
    chart, _, tag = rest.partition(":")
    return project, chart, tag


def _chart(name: str, version: str, description: str) -> bytes:
    content = f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: {description}\n".encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as writer:
        entry = tarfile.TarInfo(f"{name}/Chart.yaml")
        entry.size = len(content)
        writer.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
