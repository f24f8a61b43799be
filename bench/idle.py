"""The cost of an idle installation: seconds until it is ready, and its memory."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.harness.images import image
from tests.harness.installation import Installation
from tests.harness.process import memory_bytes
from tests.harness.push import push
from tests.harness.workspace import Login

SETTLE_SECONDS = 30
READY_LIMIT_SECONDS = 5
RESIDENT_LIMIT_MIB = 450
_MIB = 1024 * 1024


def measure() -> Iterator[str]:
    """Starts an installation twice, pushes an image, waits, and reads the memory of each process. Yields lines."""
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as folder:
        installation = Installation(Path(folder) / "data", grpc=False)
        try:
            yield f"seconds to ready, first start    {installation.start_seconds:6.2f}   (aim: {READY_LIMIT_SECONDS})"
            installation.restart()
            yield f"seconds to ready, second start   {installation.start_seconds:6.2f}   (aim: {READY_LIMIT_SECONDS})"
            admin = Login("admin", installation.admin_password)
            push(installation.http_url, admin, "library/bench", image(1), "v1")
            time.sleep(SETTLE_SECONDS)
            resident = {"supervisor": memory_bytes(installation.supervisor_pid, "VmRSS")}
            resident |= {name: installation.resident_bytes(name) for name in sorted(installation.pids())}
        finally:
            installation.stop()
    yield f"resident MiB, {SETTLE_SECONDS} s after one push"
    for name, size in resident.items():
        yield f"  {name:<30} {size / _MIB:6.1f}"
    yield f"  {'in all':<30} {sum(resident.values()) / _MIB:6.1f}   (aim: {RESIDENT_LIMIT_MIB})"
