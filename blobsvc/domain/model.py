"""What is stored, as stores take it and hand it out."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from blobsvc.domain.generation import Generation
from svckit.oci.digest import Digest

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class BlobKey:
    """What names stored bytes. Sorts by algorithm, hex digits, generation: the order of lists."""

    digest: Digest
    generation: Generation

    @classmethod
    def of(cls, digest: str, generation: int) -> "BlobKey":
        """Parse the two.

        Raises:
            DigestInvalidError: the digest is none.
            ValueError: the generation is none.
        """
        return cls(Digest.parse(digest), Generation(generation))


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One generation of a digest.

    Attributes:
        key: digest and generation.
        size_bytes: of it.
        create_time: when it was finished.
    """

    key: BlobKey
    size_bytes: int
    create_time: datetime

    @property
    def digest(self) -> Digest:
        """Of the bytes."""
        return self.key.digest

    @property
    def generation(self) -> Generation:
        """Which upload of the digest it is."""
        return self.key.generation


@dataclass(frozen=True, slots=True)
class BlobPage:
    """A part of a list.

    Attributes:
        blobs: in the order of their keys. It may hold fewer than asked for, even none, and not be the last page.
        next_after: where the next page begins; None after the last one.
    """

    blobs: tuple[StoredBlob, ...]
    next_after: BlobKey | None


@dataclass(frozen=True, slots=True, order=True)
class UploadId:
    """The id of an upload: 32 hex digits, all of them random. It is safe as the name of a folder.

    Raises:
        ValueError: it is not that.
    """

    value: str

    def __post_init__(self) -> None:
        if _UPLOAD_ID.fullmatch(self.value) is None:
            raise ValueError("an upload id has 32 lower-case hex digits")

    @classmethod
    def new(cls) -> Self:
        """An id that nobody can guess."""
        return cls(secrets.token_hex(16))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class UploadOwner:
    """For whom an upload was begun.

    Attributes:
        repository: the full name, as the access check accepted it.
        project_id: the project of that name then.
        subject: who began it: "user:7", "robot:12".
    """

    repository: str
    project_id: int
    subject: str


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it began. None of this changes; how many bytes it has is asked of the store.

    Attributes:
        id: its id.
        owner: for whom it was begun.
        algorithm: that the bytes are hashed by as they come.
        generation: that its bytes will have once it is finished. It is chosen at the start, so that whoever repeats a
            finish after a crash looks for the same one.
        start_time: when it began.
    """

    id: UploadId
    owner: UploadOwner
    algorithm: str
    generation: Generation
    start_time: datetime
