"""Small images, pushed one after the other by each client: nine requests for each, as Docker sends them."""

import secrets

from bench.client import Job, run
from bench.registries.registry import Registry
from bench.results.sample import Sample
from bench.rows.row import Row
from bench.sizes import Sizes


class PushRow(Row):
    """As many pushes in a fixed time as some clients manage."""

    kind = "push"
    unit = "pushes/s"
    work_unit = "push"

    def __init__(self, clients: int, repositories: int, sizes: Sizes) -> None:
        """Takes the number of clients, and of the repositories into which they push."""
        where = "one repository" if repositories == 1 else "own repositories"
        self.name = f"small pushes, {clients} client{f's, {where}' if clients > 1 else ''}"
        self._clients = clients
        self._repositories = [f"library/bench/push-{clients}-{number}" for number in range(repositories)]
        self._sizes = sizes

    def prepare(self, registry: Registry) -> None:
        """Makes the repositories, by pushing into them."""
        self._push(registry, self._sizes.warm_up_seconds)

    def run(self, registry: Registry) -> Sample:
        """Pushes images that are new."""
        return self._push(registry, self._sizes.seconds)

    def _push(self, registry: Registry, seconds: float) -> Sample:
        done = run(
            Job(
                kind="push",
                address=registry.host,
                token=registry.tokens.token(self._repositories),
                connections=self._clients,
                seconds=seconds,
                repositories=self._repositories,
                seed=secrets.randbelow(1 << 60),
            )
        )
        return Sample(done.count / done.seconds, done.count, done.client_cpu_seconds, done.p50_ms, done.p99_ms)
