"""A cold start, and the memory after it, of an installation of their own."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine.processes import resident_bytes
from bench.registries.distribution import distribution
from bench.registries.registry import Registry
from bench.registries.roadstead import Setup, roadstead
from bench.results.sample import Sample
from bench.rows.row import Row
from bench.sizes import Sizes
from tests.harness.images import image

_MIB = 1024 * 1024


class _StartRow(Row):
    kind = "start"
    work_unit = ""
    lower_is_better = True

    def __init__(self, setup: Setup, sizes: Sizes) -> None:
        self._setup = setup
        self._sizes = sizes

    @contextmanager
    def _started(self, registry: Registry) -> Iterator[tuple[Registry, float]]:
        """A new one of the same kind on an empty folder, and the seconds until it was ready."""
        with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as folder:
            place = Path(folder) / "data"
            if registry.name == "roadstead":
                with roadstead(place, self._setup) as ours:
                    yield ours, ours.installation.start_seconds
            else:
                with distribution(place, registry.tokens) as theirs:
                    yield theirs, theirs.start_seconds


class ColdStartRow(_StartRow):
    """Seconds from the start of the program on an empty folder until it is ready."""

    name = "cold start to ready"
    unit = "s"

    def run(self, registry: Registry) -> Sample:
        """Starts one, and stops it."""
        with self._started(registry) as (_, seconds):
            return Sample(seconds)


class MemoryRow(_StartRow):
    """Resident memory of all processes, some time after one push."""

    name = "resident memory"
    unit = "MiB"

    def run(self, registry: Registry) -> Sample:
        """Starts one, pushes an image, waits, and reads the memory."""
        with self._started(registry) as (started, _):
            started.push("library/bench", image(1), "v1")
            time.sleep(self._sizes.settle_seconds)
            parts = {name: size / _MIB for name, size in resident_bytes(started.processes()).items()}
            return Sample(sum(parts.values()), parts=parts)
