"""Labels, as the store returns them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NO_PROJECT = 0
"""The project id of a global label. No project has it."""


class LabelScope(StrEnum):
    """Where a label can be used, by Harbor's names."""

    GLOBAL = "g"
    PROJECT = "p"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLabel:
    """A label that has no id yet. See `Label`."""

    project_id: int
    name: str
    description: str
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(NewLabel):
    """A label.

    Attributes:
        project_id: its project, or `NO_PROJECT` for a global label.
        name: unique in its project, or among the global labels.
        color: as the client wrote it.
        version: grows with each update.
    """

    id: int
    create_time: datetime
    update_time: datetime
    version: int = 0

    @property
    def scope(self) -> LabelScope:
        """Where it can be used."""
        return LabelScope.GLOBAL if self.project_id == NO_PROJECT else LabelScope.PROJECT

    @property
    def etag(self) -> str:
        """An update that names this etag is refused if another change came first. Ids are never used again."""
        return f"{self.id}-{self.version}"
