"""When artifacts and tags were last pulled, and how often repositories were.

Pulls are the most frequent requests, so a pull writes nothing to the database. Times and counts are kept in memory and
are written every few seconds. A crash loses only these last seconds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from svckit.configuration.values import Configuration

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from metasvc.domain.model import StoredManifest
    from metasvc.domain.ports import Clock
    from metasvc.domain.unit import Store

# Limits the memory while the database cannot be written for a long time.
MAX_REMEMBERED = 50_000


class PullRecorder:
    """Collects pulls, and writes them when `flush` is called."""

    def __init__(self, store: Store, clock: Clock, configuration: Callable[[], Configuration] = Configuration) -> None:
        """Takes the store to write to, the clock, and what gives the runtime configuration."""
        self._store = store
        self._clock = clock
        self._configuration = configuration
        self._forget()

    def _forget(self) -> None:
        self._repositories: Counter[int] = Counter()
        self._artifacts: dict[int, datetime] = {}
        self._tags: dict[int, dict[str, datetime]] = {}
        self._remembered = 0

    def note(self, pulled: StoredManifest, tag: str | None) -> None:
        """Remembers one pull. `tag` is the tag that was pulled; None for a pull by digest."""
        if self._remembered >= MAX_REMEMBERED:
            return
        configuration = self._configuration()
        if not configuration.pull_count_update_disable:
            self._repositories[pulled.repository_id] += 1
        if configuration.pull_time_update_disable:
            return
        now = self._clock()
        if pulled.artifact_id not in self._artifacts:
            self._remembered += 1
        self._artifacts[pulled.artifact_id] = now
        if tag is not None:
            tags = self._tags.setdefault(pulled.repository_id, {})
            if tag not in tags:
                self._remembered += 1
            tags[tag] = now

    async def flush(self) -> None:
        """Writes the pulls. If a write fails, they are lost.

        Each kind of row has a unit of its own. A push locks these rows in another order, so a single unit could
        deadlock with it.
        """
        repositories, artifacts, tags = self._repositories, self._artifacts, self._tags
        self._forget()

        async def count() -> None:
            async with self._store.write() as unit:
                await unit.repositories.count_pulls(repositories)
                await unit.commit()

        async def date_artifacts() -> None:
            async with self._store.write() as unit:
                await unit.artifacts.touch_pulled(artifacts)
                await unit.commit()

        async def date_tags() -> None:
            async with self._store.write() as unit:
                for repository_id in sorted(tags):
                    await unit.tags.touch_pulled(repository_id, tags[repository_id])
                await unit.commit()

        if repositories:
            await self._store.repeat(count)
        if artifacts:
            await self._store.repeat(date_artifacts)
        if tags:
            await self._store.repeat(date_tags)
