"""Blobs and uploads, as the store takes and returns them."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Self, TypeVar

from blobsvc.domain.generation import Generation
from svckit.oci.digest import Digest

B = TypeVar("B")

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class BlobKey:
    """The name of a stored blob. Keys sort by algorithm, hex digits and generation, which is the order of lists."""

    digest: Digest
    generation: Generation

    @classmethod
    def of(cls, digest: str, generation: int) -> "BlobKey":
        """Parse a digest and a generation.

        Raises:
            DigestInvalidError: the digest is invalid.
            ValueError: the generation is invalid.
        """
        return cls(Digest.parse(digest), Generation(generation))


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One generation of a digest.

    Attributes:
        key: digest and generation.
        size_bytes: its size.
        create_time: when its upload was finished.
    """

    key: BlobKey
    size_bytes: int
    create_time: datetime

    @property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        return self.key.digest

    @property
    def generation(self) -> Generation:
        """The number of the upload of this digest."""
        return self.key.generation


@dataclass(frozen=True, slots=True)
class UnlinkedBlob:
    """A finished upload of which metasvc has not yet said that it was linked or will be deleted.

    Attributes:
        blob: the generation. Its create time is the time of the finish, and of the first receipt.
        owner: the repository and the caller that the upload belonged to.
    """

    blob: StoredBlob
    owner: "UploadOwner"


@dataclass(frozen=True, slots=True)
class BlobPage(Generic[B]):
    """A part of a list of stored or of unlinked blobs.

    Attributes:
        blobs: in the order of the list. A page before the last one may hold fewer than asked for, even none.
        next_after: the key after which the next page begins; None for the last page.
    """

    blobs: tuple[B, ...]
    next_after: BlobKey | None


@dataclass(frozen=True, slots=True, order=True)
class UploadId:
    """The id of an upload: 32 random hex digits. It is safe as the name of a folder.

    Raises:
        ValueError: it is not 32 lower-case hex digits.
    """

    value: str

    def __post_init__(self) -> None:
        if _UPLOAD_ID.fullmatch(self.value) is None:
            raise ValueError("an upload id must have 32 lower-case hex digits")

    @classmethod
    def new(cls) -> Self:
        """An id that nobody can guess."""
        return cls(secrets.token_hex(16))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class UploadOwner:
    """The repository and the caller that an upload belongs to.

    Attributes:
        repository: the full name that the access check accepted.
        project_id: the id that the project had at that time.
        subject: who started the upload: "user:7", "robot:12".
    """

    repository: str
    project_id: int
    subject: str


@dataclass(frozen=True, slots=True)
class Upload:
    """The fields of an upload that never change. The store knows how many bytes it has.

    Attributes:
        id: its id.
        owner: the repository and the caller that it belongs to.
        algorithm: the algorithm that hashes the bytes as they arrive.
        generation: the generation of the finished blob. It is chosen at the start, so that a finish that is repeated
            after a crash finds the same blob.
        start_time: when it was started.
    """

    id: UploadId
    owner: UploadOwner
    algorithm: str
    generation: Generation
    start_time: datetime


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An open session, and how much it holds.

    Attributes:
        id: its id.
        owner: the repository and the caller that it belongs to.
        size_bytes: bytes that are stored.
    """

    id: UploadId
    owner: UploadOwner
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredUpload:
    """A session that has expired.

    Attributes:
        id: its id.
        owner: the repository and the caller that it belongs to; None if its record was lost.
        size_bytes: bytes that are stored.
        start_time: when it was started; None if its record was lost.
        write_time: when it was last written.
    """

    id: UploadId
    owner: UploadOwner | None
    size_bytes: int
    start_time: datetime | None
    write_time: datetime


@dataclass(frozen=True, slots=True)
class ExpiredPage:
    """A part of the sessions that have expired.

    Attributes:
        uploads: in the order of their ids.
        next_after: the id after which the next page begins; None for the last page.
    """

    uploads: tuple[ExpiredUpload, ...]
    next_after: UploadId | None
