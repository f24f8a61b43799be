"""The purge goes page by page, says what it deletes, and can be stopped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobsvc.engine.worker.run import Ending
from jobsvc.upload_purge.domain import ExpiredPage, ExpiredUpload
from jobsvc.upload_purge.handler import UploadPurgeHandler
from tests.unit.jobsvc.handling import handle

TIME = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def upload(upload_id: str, size_bytes: int, *, recorded: bool = True) -> ExpiredUpload:
    return ExpiredUpload(
        id=upload_id * 32,
        repository="library/app" if recorded else "",
        subject="user:7" if recorded else "",
        size_bytes=size_bytes,
        start_time=TIME if recorded else None,
        write_time=TIME,
    )


@dataclass
class Pages:
    """A blobsvc with these pages."""

    pages: Sequence[ExpiredPage]
    asked: list[tuple[bool, str]] = field(default_factory=list)

    async def purge(self, *, dry_run: bool, page_token: str) -> ExpiredPage:
        self.asked.append((dry_run, page_token))
        return self.pages[len(self.asked) - 1]


TWO = (ExpiredPage([upload("a", 70), upload("b", 30)], "next"), ExpiredPage([upload("c", 0, recorded=False)], ""))


async def test_it_deletes_page_after_page_and_says_what() -> None:
    pages = Pages(TWO)
    handled = await handle(UploadPurgeHandler(pages), {})
    assert pages.asked == [(False, ""), (False, "next")]
    written = "last written 2026-03-01T12:30:00Z"
    begun = "started 2026-03-01T12:30:00Z by user:7 for library/app."
    assert handled.lines == [
        f"INFO Upload aaaaaaaa is deleted, 70 bytes, {written}, {begun}",
        f"INFO Upload bbbbbbbb is deleted, 30 bytes, {written}, {begun}",
        f"INFO Upload cccccccc is deleted, 0 bytes, {written}. It has no record.",
        "INFO Deleted uploads: 3, bytes: 100.",
    ]
    assert handled.ending is Ending.SUCCESS
    assert handled.progress == (2, 0, "uploads: 2")
    assert handled.outcome.execution_extra_attributes == {"dry_run": False, "purged_uploads": 3, "freed_space": 100}


async def test_a_dry_run_says_what_would_be_deleted() -> None:
    pages = Pages(TWO)
    handled = await handle(UploadPurgeHandler(pages), {"dry_run": True})
    assert pages.asked == [(True, ""), (True, "next")]
    assert handled.lines[0].startswith("INFO Upload aaaaaaaa would be deleted, 70 bytes")
    assert handled.message == "Expired uploads: 3, bytes: 100."


async def test_a_stop_takes_effect_before_the_next_page() -> None:
    pages = Pages([ExpiredPage([], "more")] * 100)
    handled = await handle(UploadPurgeHandler(pages), {}, started=lambda run: run.stop())
    assert (handled.ending, pages.asked) == (Ending.STOPPED, [])
