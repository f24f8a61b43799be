"""Uploads that nobody goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobsvc.engine.domain.kind import Backoff, Kind
from jobsvc.engine.domain.parameters import takes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

KIND = Kind(
    name="UPLOAD_PURGE",
    concurrency=1,
    maximum_failures=3,
    backoff=Backoff(first_seconds=30),
    default_schedule="0 */10 * * * *",
    kept_executions=20,
    may_be_started=True,
    check_parameters=takes(dry_run=False),
)
"""Ends uploads that have taken or rested too long, by the settings of blobsvc. With `dry_run`, they are only listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredUpload:
    """An upload that has taken or rested too long.

    Attributes:
        id: its id.
        repository: the full name of its repository; empty if a crash has left no record of it.
        subject: who started it: "user:7", "robot:12"; empty without a record.
        size_bytes: the bytes that it held.
        start_time: when it was started; None without a record.
        write_time: when it was last written.
    """

    id: str
    repository: str
    subject: str
    size_bytes: int
    start_time: datetime | None
    write_time: datetime


@dataclass(frozen=True, slots=True)
class ExpiredPage:
    """A part of the uploads that have expired.

    Attributes:
        uploads: the uploads.
        next_page_token: of the next page; empty on the last one.
    """

    uploads: Sequence[ExpiredUpload]
    next_page_token: str
