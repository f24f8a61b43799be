"""A large blob, down and up, on one and on several connections at the same time."""

import secrets

from bench.client import Done, Job, run
from bench.registries.registry import Registry
from bench.results.sample import Sample
from bench.rows.row import Row
from bench.sizes import Sizes

_REPOSITORY = "library/bench/blobs"
_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class _BlobRow(Row):
    unit = "MiB/s"
    work_unit = "GiB"

    def __init__(self, direction: str, streams: int, sizes: Sizes) -> None:
        self.name = f"blob {direction}, {sizes.blob_bytes // _MIB} MiB, {streams} stream{'s' if streams > 1 else ''}"
        self._streams = streams
        self._sizes = sizes

    def _move(self, registry: Registry, kind: str, streams: int, target: str = "") -> Done:
        done = run(
            Job(
                kind=kind,
                address=registry.host,
                token=registry.tokens.token([_REPOSITORY]),
                connections=streams,
                bytes=self._sizes.blob_bytes,
                target=target,
                repositories=[_REPOSITORY],
                # The same content twice would be another thing: each registry may skip work then.
                seed=secrets.randbelow(1 << 60),
            )
        )
        if done.bytes != streams * self._sizes.blob_bytes:
            raise AssertionError(f"{registry.name}: {done.bytes} bytes moved, not {streams} blobs")
        return done

    @staticmethod
    def _sample(done: Done) -> Sample:
        return Sample(done.bytes / _MIB / done.seconds, done.bytes / _GIB, done.client_cpu_seconds)


class UploadRow(_BlobRow):
    """POST, one chunked PATCH and PUT, as Docker pushes. The blobs are new."""

    kind = "upload"

    def __init__(self, streams: int, sizes: Sizes) -> None:
        """Takes the number of blobs at the same time."""
        super().__init__("up", streams, sizes)

    def run(self, registry: Registry) -> Sample:
        """Uploads a blob on each stream, and removes them from the disk again."""
        done = self._move(registry, "upload", self._streams)
        registry.remove_blobs(done.digests)
        return self._sample(done)


class DownloadRow(_BlobRow):
    """GET of a blob that lies in the page cache, by every stream."""

    kind = "download"

    def __init__(self, streams: int, sizes: Sizes) -> None:
        """Takes the number of downloads at the same time."""
        super().__init__("down", streams, sizes)
        self._targets: dict[str, str] = {}

    def prepare(self, registry: Registry) -> None:
        """Uploads the blob, and reads it once."""
        (digest,) = self._move(registry, "upload", 1).digests
        self._targets[registry.name] = f"/v2/{_REPOSITORY}/blobs/{digest}"
        self.run(registry)

    def run(self, registry: Registry) -> Sample:
        """Downloads it on each stream."""
        return self._sample(self._move(registry, "download", self._streams, self._targets[registry.name]))
