"""An image of some layers, fetched by a real containerd. What containerd does itself is in the time."""

import os
import tempfile
import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest

from bench.machine.programs import MissingError, find
from bench.registries.registry import Registry
from bench.results.sample import Sample
from bench.rows.row import Row
from bench.sizes import Sizes
from tests.harness.engines import containerd
from tests.harness.images import Image, image
from tests.harness.programs import Client

_REPOSITORY = "library/bench/layers"
_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class FetchRow(Row):
    """Wall clock of `ctr content fetch`: token, manifest, config and layers, as many at once as containerd likes."""

    kind = "fetch"
    unit = "s"
    work_unit = "GiB"
    lower_is_better = True

    def __init__(self, sizes: Sizes) -> None:
        """Takes the sizes. The image is made when it is needed, because that takes seconds."""
        self.name = f"containerd fetches {sizes.layers} layers of {sizes.layer_bytes / _MIB:g} MiB"
        self._sizes = sizes
        self._stack = ExitStack()
        self._ctr: Client | None = None

    def prepare(self, registry: Registry) -> None:
        """Starts containerd, and pushes the image."""
        if self._ctr is None:
            self._ctr = self._start()
        registry.push(_REPOSITORY, self._image, "v1")
        self.run(registry)

    def run(self, registry: Registry) -> Sample:
        """Fetches it into an empty content store."""
        assert self._ctr is not None, "it is prepared first"
        name = f"{registry.host}/{_REPOSITORY}:v1"
        user = ":".join(registry.tokens.login.basic)
        started = time.perf_counter()
        self._ctr.run("content", "fetch", "--plain-http", "--user", user, name)
        seconds = time.perf_counter() - started
        fetched = set(self._ctr.run("content", "ls", "--quiet").split())
        assert fetched == {self._image.digest, *self._image.blobs}, "containerd has fetched something else"
        self._ctr.run("images", "rm", "--sync", name)
        assert not self._ctr.run("content", "ls", "--quiet"), "the next fetch would find content of this one"
        return Sample(seconds, sum(map(len, self._image.blobs.values())) / _GIB)

    @cached_property
    def _image(self) -> Image:
        return image(3, layers=self._sizes.layers, layer_bytes=self._sizes.layer_bytes)

    def close(self) -> None:
        """Stops containerd."""
        self._stack.close()

    def _start(self) -> Client:
        if os.geteuid() != 0:
            raise MissingError("containerd needs root")
        find("containerd")
        find("ctr")
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="roadstead-bench-")))
        try:
            daemon = self._stack.enter_context(containerd(folder))
        except pytest.skip.Exception as reason:
            raise MissingError(str(reason)) from None
        return Client(
            "ctr", folder, variables={"CONTAINERD_ADDRESS": str(daemon.socket), "CONTAINERD_NAMESPACE": "bench"}
        )
