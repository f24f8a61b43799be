"""Runs the load client of bench/load, which is written in Go so that it takes little of the measured CPU time."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.machine.programs import find

PROGRAM = "roadstead-load"
_LIMIT_SECONDS = 600


class LoadError(Exception):
    """The load client failed: most often, a registry gave another answer than the expected one."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the load client is to do; bench/load/main.go describes the fields."""

    kind: str
    address: str
    token: str = field(repr=False)
    connections: int = 1
    seconds: float = 0.0
    method: str = "GET"
    target: str = ""
    bytes: int = 0
    repositories: Sequence[str] = ()
    seed: int = 0


@dataclass(frozen=True)
class Done:
    """What the load client has measured; bench/load/main.go describes the fields."""

    count: int
    bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cpu_seconds: float
    digests: Sequence[str] = ()


def run(job: Job) -> Done:
    """Runs a job to its end.

    Raises:
        LoadError: it failed.
        MissingError: the client is not built.
    """
    # The job has a token, so it does not go into the arguments.
    done = subprocess.run(
        [find(PROGRAM)],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LoadError(done.stderr.strip())
    return Done(**json.loads(done.stdout))
