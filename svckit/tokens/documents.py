"""Documents about one upload or one blob: the claims of tickets, receipts, grants and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from svckit.tokens.claims import Claims, ClaimsError, id_claim, number_claim, text_claim

Damage = Literal["missing", "size", "digest"]
"""What can be wrong with stored bytes: there is no file, or it has another size, or its bytes have another digest."""
DAMAGES: tuple[Damage, ...] = ("missing", "size", "digest")

LONGEST_UPLOAD_SECONDS = 24 * 3600
"""The longest time from the start of an upload to its finish. No ticket lives longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTicket(Claims):
    """The right to write and finish one upload, until the session ends, for the subject that started it.

    It is worth nothing without that subject's registry token (`svckit.access.authorization.authorize_upload`), because
    clients print the URL of an upload, which contains the ticket.

    Attributes:
        upload_id: the id of the upload.
        repository: the full name of the repository that the upload was begun for.
        project_id: the id of its project.
    """

    upload_id: str
    repository: str
    project_id: int

    typ: ClassVar[str] = "ticket+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"blobsvc"})
    fixed_audience: ClassVar[str | None] = "blobsvc"
    lifetime_seconds: ClassVar[int | None] = LONGEST_UPLOAD_SECONDS
    longest_lifetime_seconds: ClassVar[int] = LONGEST_UPLOAD_SECONDS
    refusal: ClassVar[str] = "TICKET_INVALID"

    @property
    def upload_time(self) -> int:
        """When the upload was started, in seconds since the epoch."""
        return self.issued_time

    def payload(self) -> dict[str, Any]:
        """`upload_id`, `repository`, `project_id`."""
        return {"upload_id": self.upload_id, "repository": self.repository, "project_id": self.project_id}

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "upload_id": text_claim(payload, "upload_id"),
            "repository": text_claim(payload, "repository"),
            "project_id": id_claim(payload, "project_id"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlobDocument(Claims):
    """The claims that receipts and grants share: one generation of one digest, in one repository."""

    repository: str
    project_id: int
    digest: str
    generation: int
    size: int

    def payload(self) -> dict[str, Any]:
        """`repository`, `project_id`, `digest`, `generation`, `size`."""
        return {
            "repository": self.repository,
            "project_id": self.project_id,
            "digest": self.digest,
            "generation": self.generation,
            "size": self.size,
        }

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return _blob_claims(payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(_BlobDocument):
    """Proof that blobsvc has stored the bytes and verified their digest. Their uploader links a blob with it.

    Attributes:
        repository: the full name of the repository that the upload was begun for.
        project_id: the id of its project.
        digest: the digest of the bytes, "sha256:…" or "sha512:…".
        generation: which copy of the bytes.
        size: in bytes.
        upload_time: when the upload was started, in seconds since the epoch.
    """

    upload_time: int

    typ: ClassVar[str] = "receipt+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"blobsvc"})
    fixed_audience: ClassVar[str | None] = "metasvc"
    lifetime_seconds: ClassVar[int | None] = 3600
    longest_lifetime_seconds: ClassVar[int] = 3600
    refusal: ClassVar[str] = "RECEIPT_INVALID"

    def payload(self) -> dict[str, Any]:
        """Those of all blob documents, and `upload_time`."""
        return {**_BlobDocument.payload(self), "upload_time": self.upload_time}

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {**_blob_claims(payload), "upload_time": number_claim(payload, "upload_time")}


LONGEST_EXPIRED_SECONDS = LONGEST_UPLOAD_SECONDS + Receipt.longest_lifetime_seconds
"""How long ago a registry token may have expired with which its owner finishes an upload and links the blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(_BlobDocument):
    """The subject may read this digest and generation, through this repository.

    Attributes:
        repository: the full name of the repository in which the blob was resolved.
        project_id: the id of its project.
        digest: "sha256:…" or "sha512:…".
        generation: which copy of the bytes.
        size: in bytes.
    """

    typ: ClassVar[str] = "grant+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"metasvc"})
    fixed_audience: ClassVar[str | None] = "blobsvc"
    lifetime_seconds: ClassVar[int | None] = 300
    longest_lifetime_seconds: ClassVar[int] = 300
    refusal: ClassVar[str] = "GRANT_INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Claims):
    """blobsvc has found that the stored bytes of a generation are damaged. metasvc quarantines it.

    Attributes:
        digest: "sha256:…" or "sha512:…".
        generation: which copy of the bytes.
        damage: "missing": there is no file; "size": the file has another size; "digest": the bytes have another digest.
        store_id: the id of the store that was examined.
    """

    digest: str
    generation: int
    damage: Damage
    store_id: str

    typ: ClassVar[str] = "finding+jwt"
    signers: ClassVar[frozenset[str]] = frozenset({"blobsvc"})
    fixed_audience: ClassVar[str | None] = "metasvc"
    lifetime_seconds: ClassVar[int | None] = 300
    longest_lifetime_seconds: ClassVar[int] = 300
    refusal: ClassVar[str] = "FINDING_INVALID"

    def payload(self) -> dict[str, Any]:
        """`digest`, `generation`, `damage`, `store_id`."""
        return {
            "digest": self.digest,
            "generation": self.generation,
            "damage": self.damage,
            "store_id": self.store_id,
        }

    @classmethod
    def _parse_own(cls, payload: Mapping[str, Any]) -> dict[str, Any]:
        damage = text_claim(payload, "damage")
        if damage not in DAMAGES:
            raise ClaimsError("damage is not one of its values")
        return {
            "digest": text_claim(payload, "digest"),
            "generation": number_claim(payload, "generation"),
            "damage": damage,
            "store_id": text_claim(payload, "store_id"),
        }


def _blob_claims(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "repository": text_claim(payload, "repository"),
        "project_id": id_claim(payload, "project_id"),
        "digest": text_claim(payload, "digest"),
        "generation": number_claim(payload, "generation"),
        "size": number_claim(payload, "size"),
    }
