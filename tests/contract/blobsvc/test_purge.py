"""The worker ends expired uploads over gRPC, page by page."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blobsvc.domain.model import UploadId
from blobsvc.store.filesystem import FileStore
from roadstead.blob.v1.upload_service_pb2 import PurgeUploadsRequest, PurgeUploadsResponse
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.rpc import open_channel
from tests.contract.blobsvc.conftest import file_store, serving
from tests.contract.blobsvc.steps import OWNER, append, refused, started

if TYPE_CHECKING:
    from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceAsyncStub

OLD = datetime.now(UTC) - timedelta(hours=2)
"""Longer ago than a session may rest."""


@dataclass
class Purged:
    """A service, and the store that it serves."""

    files: FileStore
    root: Path
    uploads: "UploadServiceAsyncStub"

    def age(self, upload_id: UploadId) -> None:
        os.utime(self.root / "uploads" / str(upload_id) / "data", (OLD.timestamp(), OLD.timestamp()))

    async def purge(self, *, dry_run: bool = False, page_token: str = "") -> PurgeUploadsResponse:
        return await self.uploads.PurgeUploads(PurgeUploadsRequest(dry_run=dry_run, page_token=page_token))


@pytest.fixture
async def served(tmp_path: Path, socket_folder: Path) -> AsyncIterator[Purged]:
    root = tmp_path / "store"
    async with file_store(root) as files, serving(files, socket_folder) as service:
        tokens = service.keyring.service_tokens("worker")
        async with open_channel(service.target, service_tokens=tokens) as worker:
            yield Purged(files, root, UploadServiceStub(worker))


async def test_what_rested_too_long_is_ended_and_described(served: Purged) -> None:
    old, young = await started(served.files.uploads), await started(served.files.uploads)
    for upload_id in (old, young):
        await append(served.files.uploads, upload_id, b"some")
    served.age(old)

    planned = await served.purge(dry_run=True)
    assert await served.files.uploads.status(old) == 4
    purged = await served.purge()
    assert purged == planned
    [upload] = purged.uploads
    assert (upload.upload_id, upload.size_bytes) == (str(old), 4)
    assert (upload.repository, upload.project_id, upload.subject) == (OWNER.repository, OWNER.project_id, OWNER.subject)
    assert abs(upload.write_time.ToDatetime(UTC) - OLD) < timedelta(seconds=1)
    assert upload.start_time.ToDatetime(UTC) > OLD
    with refused("BLOB_UPLOAD_UNKNOWN"):
        await served.files.uploads.status(old)
    assert await served.files.uploads.status(young) == 4
    assert list((await served.purge()).uploads) == []


@pytest.mark.parametrize("dry_run", [False, True])
async def test_many_come_on_several_pages(served: Purged, *, dry_run: bool) -> None:
    begun = [await started(served.files.uploads) for _ in range(120)]
    for upload_id in begun:
        served.age(upload_id)
    first = await served.purge(dry_run=dry_run)
    second = await served.purge(dry_run=dry_run, page_token=first.next_page_token)
    assert (len(first.uploads), len(second.uploads), second.next_page_token) == (100, 20, "")
    assert [each.upload_id for page in (first, second) for each in page.uploads] == sorted(map(str, begun))
    assert len(await served.files.admin.list_unfinished()) == (120 if dry_run else 0)


async def test_a_session_without_a_record_is_ended_too(served: Purged) -> None:
    upload_id = await started(served.files.uploads)
    record = served.root / "uploads" / str(upload_id) / "upload.json"
    record.unlink()
    record.write_text('{"repository": "lib')
    served.age(upload_id)
    [upload] = (await served.purge()).uploads
    assert (upload.upload_id, upload.repository, upload.HasField("start_time")) == (str(upload_id), "", False)
    assert not (served.root / "uploads" / str(upload_id)).exists()


async def test_a_token_that_was_not_given_is_refused(served: Purged) -> None:
    with refused("INVALID_PAGE_TOKEN"):
        await served.purge(page_token="elsewhere")
