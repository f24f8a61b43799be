"""One small request again and again: manifests, HEAD of a blob, and pages of tags."""

from abc import abstractmethod

from bench.client import Job, run
from bench.registries.registry import Registry
from bench.results.sample import Sample
from bench.rows.row import Row
from bench.sizes import Sizes
from tests.harness.images import Image, image

_IMAGE = image(1)
_PAGES = 100


class RequestRow(Row):
    """As many requests in a fixed time as some connections manage, each sending the next one after the answer."""

    unit = "req/s"
    repository = "library/bench/image"
    method = "GET"

    def __init__(self, name: str, connections: int, sizes: Sizes) -> None:
        """Takes the name of the row, and how many connections send."""
        self.name = name
        self._connections = connections
        self._sizes = sizes

    @property
    @abstractmethod
    def path(self) -> str:
        """The path and query after the name of the repository."""

    def prepare(self, registry: Registry) -> None:
        """Pushes what is asked for."""
        registry.push(self.repository, _IMAGE, "v1")
        if self._sizes.warm_up_seconds:
            self._send(registry, self._sizes.warm_up_seconds)

    def run(self, registry: Registry) -> Sample:
        """Sends requests."""
        return self._send(registry, self._sizes.seconds)

    def _send(self, registry: Registry, seconds: float) -> Sample:
        done = run(
            Job(
                kind="requests",
                address=registry.host,
                token=registry.tokens.token([self.repository]),
                connections=self._connections,
                seconds=seconds,
                method=self.method,
                target=f"/v2/{self.repository}/{self.path}",
            )
        )
        return Sample(done.count / done.seconds, done.count, done.client_cpu_seconds, done.p50_ms, done.p99_ms)


class ManifestRow(RequestRow):
    """GET of a manifest, by tag or by digest."""

    kind = "manifest"

    def __init__(self, reference: str, connections: int, sizes: Sizes) -> None:
        """Takes the reference: "tag" or "digest"."""
        super().__init__(f"manifest by {reference}, {_counted(connections)}", connections, sizes)
        self._reference = "v1" if reference == "tag" else _IMAGE.digest

    @property
    def path(self) -> str:
        """By its reference."""
        return f"manifests/{self._reference}"


class HeadBlobRow(RequestRow):
    """HEAD of a small blob, by which clients learn that they need not push it."""

    kind = "head"
    method = "HEAD"

    def __init__(self, connections: int, sizes: Sizes) -> None:
        """Takes the number of connections."""
        super().__init__(f"HEAD blob, {_counted(connections)}", connections, sizes)

    @property
    def path(self) -> str:
        """A layer."""
        return f"blobs/{_IMAGE.layers[0]['digest']}"


class TagPageRow(RequestRow):
    """One page of tags/list, of 100 pages, on one connection."""

    kind = "tags"
    repository = "library/bench/tags"

    def __init__(self, page: int, sizes: Sizes) -> None:
        """Takes the number of the page, from 1."""
        super().__init__(f"tags/list of {sizes.tags:,}, page {page}", 1, sizes)
        self._page_size = sizes.tags // _PAGES
        self._last = _tag(self._page_size * (page - 1) - 1) if page > 1 else None

    @property
    def path(self) -> str:
        """The page after the last tag of the page before."""
        after = "" if self._last is None else f"&last={self._last}"
        return f"tags/list?n={self._page_size}{after}"

    def prepare(self, registry: Registry) -> None:
        """Adds the tags."""
        tags = [_tag(number) for number in range(self._sizes.tags)]
        if not registry.has_tag(self.repository, tags[-1]):  # another row has added them
            tagged: Image = image(2)
            registry.push(self.repository, tagged, tags[0])
            registry.add_tags(self.repository, tagged, tags)
        super().prepare(registry)


def _counted(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"


def _tag(number: int) -> str:
    return f"v{number:06}"
