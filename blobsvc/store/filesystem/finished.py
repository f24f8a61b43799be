"""The records of finished uploads on disk. These functions block.

A record lies in `unlinked` until metasvc has settled the upload. Then it moves into the folder of its session, where a
repeated finish still finds it. So the records in `unlinked` are few, however many uploads are finished.
"""

import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from blobsvc.domain.generation import Generation
from blobsvc.domain.model import BlobKey, BlobPage, StoredBlob, UnlinkedBlob, Upload, UploadId, UploadOwner
from blobsvc.store.filesystem.data_file import data_path, remove_name
from blobsvc.store.filesystem.layout import Layout
from blobsvc.store.filesystem.links import kept_text, link_text
from blobsvc.store.filesystem.session import finished_path
from svckit.durable import replace_file, sync_folder
from svckit.logging import get_logger
from svckit.oci.digest import Digest

_log = get_logger(__name__)

_FILE_MODE = 0o600


class Record(NamedTuple):
    """What a record says.

    Attributes:
        upload_id: the upload.
        finished: its blob and its owner.
    """

    upload_id: UploadId
    finished: UnlinkedBlob


def write_record(layout: Layout, upload: Upload, blob: StoredBlob) -> None:
    """Write the record of a finish. It is durable when this returns.

    Raises:
        OSError: the record cannot be written.
    """
    content = {
        "upload_id": str(upload.id),
        "digest": str(blob.digest),
        "generation": blob.generation.number,
        "repository": upload.owner.repository,
        "project_id": upload.owner.project_id,
        "subject": upload.owner.subject,
        "size_bytes": blob.size_bytes,
        "finish_time": blob.create_time.isoformat(),
    }
    path, text = _unsettled_path(layout, blob.key), json.dumps(content)
    # An earlier attempt to finish may have left one. It says nothing while the session exists.
    path.unlink(missing_ok=True)
    if link_text(path, text):
        sync_folder(path.parent)
    else:
        replace_file(path, text.encode(), mode=_FILE_MODE)


def find_record(layout: Layout, upload_id: UploadId, key: BlobKey) -> StoredBlob | None:
    """The blob that this upload became when it was finished; None if there is no record of that.

    Raises:
        OSError: the disk cannot be read.
    """
    # In the order in which a record moves, so that it is not missed while it moves.
    for path in (_unsettled_path(layout, key), finished_path(layout.upload(upload_id))):
        record = _read(path)
        if record is not None and record.upload_id == upload_id and record.finished.blob.key == key:
            return record.finished.blob
    return None


def is_renamed(layout: Layout, upload_id: UploadId, key: BlobKey) -> bool:
    """Whether the finish that wrote a record has come to its end: before the rename, a record says nothing.

    Raises:
        OSError: the disk cannot be read.
    """
    try:
        data = data_path(layout.upload(upload_id)).lstat()
    except FileNotFoundError:
        return True
    with suppress(FileNotFoundError, NotADirectoryError):
        # A loss of power may have left both names.
        return os.path.samestat(data, layout.blob(key).lstat())
    return False


def unlinked_page(
    layout: Layout, after: BlobKey | None, limit: int, finished_before: datetime | None
) -> BlobPage[UnlinkedBlob]:
    """The unsettled records, by generation.

    Raises:
        OSError: the disk cannot be read.
    """
    layout.require_store()
    last_name = "" if after is None else _name(after)
    blobs: list[UnlinkedBlob] = []
    for key in unsettled_keys(layout):
        if _name(key) <= last_name:
            continue
        if len(blobs) == limit:
            return BlobPage(tuple(blobs), blobs[-1].blob.key)
        record = unsettled_record(layout, key)
        if record is not None and (finished_before is None or record.finished.blob.create_time < finished_before):
            blobs.append(record.finished)
    return BlobPage(tuple(blobs), None)


def unsettled_keys(layout: Layout) -> list[BlobKey]:
    """The keys of all unsettled records, by generation. Other files, such as temporary ones, are left out.

    Raises:
        OSError: the disk cannot be read.
    """
    found = []
    for name in sorted(path.name for path in layout.unlinked.iterdir()):
        number, _, digest = name.partition(".")
        with suppress(ValueError):
            found.append(BlobKey(Digest.parse(digest.replace(".", ":")), Generation.parse(number)))
    return found


def unsettled_record(layout: Layout, key: BlobKey) -> Record | None:
    """An unsettled record; None if it was settled in the meantime, or if its upload is not finished after all.

    Raises:
        OSError: the disk cannot be read.
    """
    record = _read(_unsettled_path(layout, key))
    if record is None or not is_renamed(layout, record.upload_id, key):
        # The finish stopped after it had written the record. The session is still open.
        return None
    return record


def settle_records(layout: Layout, keys: tuple[BlobKey, ...]) -> None:
    """Move records into the folders of their sessions, or remove those whose folders are gone.

    A loss of power may undo this. Then metasvc lists them again.

    Raises:
        OSError: a record cannot be moved.
    """
    layout.require_store()
    for key in keys:
        path = _unsettled_path(layout, key)
        record = _read(path)
        if record is None:
            continue
        folder = layout.upload(record.upload_id)
        if is_renamed(layout, record.upload_id, key):
            # Before the blob is deleted. Afterwards, a name that a loss of power has left would be its only one, and
            # the session would be open again.
            remove_name(folder)
        try:
            path.rename(finished_path(folder))
        except FileNotFoundError:
            path.unlink(missing_ok=True)


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(kept_text(path))
        key = BlobKey.of(content["digest"], content["generation"])
        blob = StoredBlob(key, content["size_bytes"], datetime.fromisoformat(content["finish_time"]))
        owner = UploadOwner(content["repository"], content["project_id"], content["subject"])
        return Record(UploadId(content["upload_id"]), UnlinkedBlob(blob, owner))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        # A loss of power has emptied it (decision 37). It must not hide the others from whoever lists them.
        _log.error("record_unreadable", path=str(path))
        return None


def _unsettled_path(layout: Layout, key: BlobKey) -> Path:
    return layout.unlinked / _name(key)


def _name(key: BlobKey) -> str:
    """The file name of a record. Names sort by generation, because a generation's text has a fixed length."""
    return f"{key.generation}.{key.digest.algorithm}.{key.digest.hex}"
