"""What the worker runs for a purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsvc.engine.worker.task import Outcome

if TYPE_CHECKING:
    from jobsvc.engine.worker.task import RunningTask
    from jobsvc.upload_purge.domain import ExpiredUpload
    from jobsvc.upload_purge.ports import Purger


class UploadPurgeHandler:
    """Runs tasks of the kind UPLOAD_PURGE: page after page. It may be repeated, because what has ended stays ended."""

    def __init__(self, purger: Purger) -> None:
        """Takes what ends uploads."""
        self._purger = purger

    async def __call__(self, task: RunningTask) -> Outcome:
        """See `jobsvc.engine.worker.task.Handler`."""
        dry_run = task.parameters.get("dry_run") is True
        uploads = size_bytes = 0
        page_token = ""
        while True:
            await task.progress(uploads, text=f"uploads: {uploads}")
            page = await self._purger.purge(dry_run=dry_run, page_token=page_token)
            for upload in page.uploads:
                task.log.info(_line(upload, dry_run=dry_run))
            uploads += len(page.uploads)
            size_bytes += sum(upload.size_bytes for upload in page.uploads)
            page_token = page.next_page_token
            if not page_token:
                break
        message = f"{'Expired' if dry_run else 'Deleted'} uploads: {uploads}, bytes: {size_bytes}."
        task.log.info(message)
        return Outcome(
            message=message,
            execution_extra_attributes={"dry_run": dry_run, "purged_uploads": uploads, "freed_space": size_bytes},
        )


def _line(upload: ExpiredUpload, *, dry_run: bool) -> str:
    what = "would be deleted" if dry_run else "is deleted"
    # The id is shown in part: with the whole one, the log would name every session of the installation.
    head = (
        f"Upload {upload.id[:8]} {what}, {upload.size_bytes} bytes, last written {upload.write_time:%Y-%m-%dT%H:%M:%SZ}"
    )
    if upload.start_time is None:
        return f"{head}. It has no record."
    start = f"{upload.start_time:%Y-%m-%dT%H:%M:%SZ}"
    return f"{head}, started {start} by {upload.subject} for {upload.repository}."
