"""What BuildKit pushes, and what the registry must make of it: images with provenance, and caches in both forms."""

import json
from typing import Any

import httpx

from tests.harness import plain_http
from tests.harness.images import OCI_INDEX, OCI_MANIFEST, Image, digest_of
from tests.harness.workspace import Login, Workspace

CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"


class Registry:
    """What the registry has, as one login sees it."""

    def __init__(self, workspace: Workspace, login: Login) -> None:
        """Connects to nothing yet."""
        self._url = workspace.http_url
        self._login = login

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """A manifest or index, whose bytes must have the digest that the registry names."""
        found: dict[str, Any] = json.loads(self.manifest_bytes(repository, reference))
        return found

    def manifest_bytes(self, repository: str, reference: str) -> bytes:
        """The same as it was pushed."""
        accept = {"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"}
        answer = self._get(f"{self._url}/v2/{repository}/manifests/{reference}", headers=accept)
        assert answer.headers["Docker-Content-Digest"] == digest_of(answer.content)
        return answer.content

    def image(self, repository: str, reference: str) -> Image:
        """Everything that a manifest or index names, downloaded."""
        content = self.manifest_bytes(repository, reference)
        document = json.loads(content)
        named = document.get("manifests", [])
        children = [each for each in named if each["mediaType"] == OCI_MANIFEST]
        blobs = [each for each in named if each not in children]
        blobs += [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
        return Image(
            document["mediaType"],
            content,
            {each["digest"]: self.blob(repository, each["digest"]) for each in blobs},
            tuple(self.image(repository, each["digest"]) for each in children),
        )

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob, whose bytes must have the digest."""
        content = self._get(f"{self._url}/v2/{repository}/blobs/{digest}").content
        assert digest_of(content) == digest
        return content

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """What refers to a manifest."""
        found: list[dict[str, Any]] = self._get(f"{self._url}/v2/{repository}/referrers/{digest}").json()["manifests"]
        return found

    def artifact(self, repository: str, reference: str) -> dict[str, Any]:
        """An artifact, as Harbor's API shows it."""
        found: dict[str, Any] = self._get(
            self._artifacts(repository, reference), params={"with_accessory": "true"}
        ).json()
        return found

    def artifacts(self, repository: str) -> list[dict[str, Any]]:
        """The artifacts of a repository."""
        found: list[dict[str, Any]] = self._get(self._artifacts(repository)).json()
        return found

    def delete(self, repository: str, reference: str) -> None:
        """Deletes an artifact over Harbor's API."""
        answer = plain_http.request("DELETE", self._artifacts(repository, reference), auth=self._login.basic)
        assert answer.status_code == 200, answer.text

    def _artifacts(self, repository: str, reference: str = "") -> str:
        project, _, name = repository.partition("/")
        path = f"{self._url}/api/v2.0/projects/{project}/repositories/{name.replace('/', '%252F')}/artifacts"
        return f"{path}/{reference}" if reference else path

    def _get(self, url: str, **more: Any) -> httpx.Response:
        return plain_http.get(url, auth=self._login.basic, **more).raise_for_status()


def check_provenance(registry: Registry, repository: str, tag: str) -> tuple[str, str]:
    """Fails unless a tag names an index of one image and its provenance, in which all is as it was built.

    Older BuildKits, and newer ones with `oci-artifact=false`, write the provenance without a subject. Then only the
    index says what it belongs to, and it is no accessory.

    Returns:
        The digests of the image and of the manifest with its provenance.
    """
    image, attestation = registry.manifest(repository, tag)["manifests"]
    assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert attestation["annotations"] == {
        "vnd.docker.reference.digest": image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    document = registry.manifest(repository, attestation["digest"])
    [layer] = document["layers"]
    statement = json.loads(registry.blob(repository, layer["digest"]))
    assert statement["predicateType"] == layer["annotations"]["in-toto.io/predicate-type"]
    assert {subject["digest"]["sha256"] for subject in statement["subject"]} == {image["digest"].partition(":")[2]}

    shown = registry.artifact(repository, tag)
    assert (shown["type"], shown["accessories"]) == ("IMAGE", [])
    assert [(each["child_digest"], each["platform"]["os"]) for each in shown["references"]] == [
        (image["digest"], "linux"),
        (attestation["digest"], "unknown"),
    ]
    child = registry.artifact(repository, image["digest"])
    assert (child["extra_attrs"]["os"], child["extra_attrs"]["architecture"]) == ("linux", "amd64")
    accessories = [(each["digest"], each["type"]) for each in child["accessories"]]
    assert ((attestation["digest"], "subject.accessory") in accessories) == ("subject" in document)
    referrers = [each["digest"] for each in registry.referrers(repository, image["digest"])]
    assert sorted(referrers) == sorted(digest for digest, _ in accessories)
    return image["digest"], attestation["digest"]


def check_cache(registry: Registry, repository: str, tag: str) -> None:
    """Fails unless a tag names a cache whose layers can all be pulled, and is shown as the artifact that it is."""
    stored, shown = registry.manifest(repository, tag), registry.artifact(repository, tag)
    if stored["mediaType"] == OCI_INDEX:
        layers = stored["manifests"]
        assert (shown["type"], shown["media_type"]) == ("IMAGE", OCI_INDEX)
    else:
        layers = [*stored["layers"], stored["config"]]
        assert (shown["type"], shown["media_type"]) == ("UNKNOWN", CACHE_CONFIG)
    assert [layer["mediaType"] for layer in layers].count(CACHE_CONFIG) == 1
    # The layers of an index are no children: nobody could look at one.
    assert shown["references"] == []
    assert shown["size"] > sum(len(registry.blob(repository, layer["digest"])) for layer in layers)
