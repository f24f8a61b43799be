"""What the domain needs of the world: a store, authsvc, blobsvc, a clock, and a few settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from metasvc.domain.lists import VisibleProjects
    from metasvc.domain.model import ServedBlob
    from metasvc.domain.review import ReviewPolicy
    from metasvc.domain.unit import Store


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Now, in UTC."""


class ProjectDirectory(Protocol):
    """authsvc's projects."""

    async def look_up(self, project_id: int) -> tuple[str, int]:
        """The project's name, and the quota that it begins with, in bytes (`NO_LIMIT` for none).

        Raises:
            DomainError: PROJECT_UNKNOWN.
        """

    async def delete(self, project_id: int) -> None:
        """Deletes a project; one that is gone, too."""


class ConfigReader(Protocol):
    """blobsvc's bytes, of configs."""

    async def read(self, blob: ServedBlob, *, project_id: int, repository: str) -> bytes | None:
        """Reads the whole of a blob that a repository serves, and that is small. Never within a unit of work.

        Args:
            blob: which generation of which digest.
            project_id: of the repository.
            repository: its full name.

        Returns:
            The bytes; None where this generation is gone.

        Raises:
            DomainError: UNAVAILABLE; blobsvc is away, or too slow.
        """


class PullRights(Protocol):
    """What the caller may pull."""

    async def sources(self, repository: str | None) -> Sequence[tuple[int, str]]:
        """The repositories that a mount may come from, by project id and full name; none where none may be pulled.

        Args:
            repository: the full name of the one that is meant; None for all that the caller's own token names.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What use cases are given. One bundle for all of them: a use case that needs one more changes nobody's call.

    Attributes:
        store: what is stored.
        directory: authsvc's projects.
        configs: blobsvc's bytes.
        visible: the projects of which a caller may see the repositories.
        review_policy: when the collector looks at what may have become garbage.
        clock: tells the time.
        manifest_max_bytes: the size of the largest manifest that may be pushed.
        delete_enabled: whether clients may delete under /v2 (distribution's `storage.delete.enabled`).
    """

    store: Store
    directory: ProjectDirectory
    configs: ConfigReader
    visible: VisibleProjects
    review_policy: ReviewPolicy
    clock: Clock
    manifest_max_bytes: int
    delete_enabled: bool
