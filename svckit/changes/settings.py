"""How long a change log is kept: a part of the settings of each service that has one."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ChangeLogSettings(BaseModel):
    """What compaction deletes. jobsvc runs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_days: Annotated[float, Field(ge=0, le=3650)] = 30
    """How long every change is kept. Readers that are further behind read everything again."""
    cursor_days: Annotated[float, Field(ge=0, le=3650)] = 90
    """How long a change is kept for a cursor whose holder has not read it."""
    most_changes: Annotated[int, Field(ge=1)] = 10_000_000
    """The most changes that are kept, whatever their age, and whoever has not read them."""
