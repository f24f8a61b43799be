"""What every registry can do for a row."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urljoin

import httpx

from bench.registries.tokens import TokenService
from tests.harness.images import OCI_MANIFEST, Image


class Registry(ABC):
    """One running registry.

    Attributes:
        name: in the report.
        host: "127.0.0.1:PORT".
    """

    name: str
    host: str

    @property
    @abstractmethod
    def tokens(self) -> TokenService:
        """Where its tokens come from."""

    @abstractmethod
    def processes(self) -> Mapping[int, str]:
        """All its processes that run: names by process id."""

    @abstractmethod
    def add_tags(self, repository: str, image: Image, tags: Sequence[str]) -> None:
        """Gives an image that has been pushed these tags, quickly."""

    @abstractmethod
    def remove_blobs(self, digests: Iterable[str]) -> None:
        """Deletes the files of blobs that are not used any more. Otherwise long runs would fill the disk."""

    def has_tag(self, repository: str, tag: str) -> bool:
        """Whether there is such a tag."""
        headers = {"Authorization": f"Bearer {self.tokens.token([repository])}", "Accept": OCI_MANIFEST}
        url = f"http://{self.host}/v2/{repository}/manifests/{tag}"
        return httpx.head(url, headers=headers, timeout=60, trust_env=False).is_success

    def push(self, repository: str, image: Image, tag: str) -> None:
        """Pushes an image."""
        headers = {"Authorization": f"Bearer {self.tokens.token([repository])}"}
        with httpx.Client(base_url=f"http://{self.host}", headers=headers, timeout=60, trust_env=False) as client:
            for digest, content in image.blobs.items():
                started = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
                location = httpx.URL(urljoin(str(started.url), started.headers["Location"]))
                client.put(location.copy_add_param("digest", digest), content=content).raise_for_status()
            client.put(
                f"/v2/{repository}/manifests/{tag}",
                content=image.manifest,
                headers={"Content-Type": image.media_type},
            ).raise_for_status()
