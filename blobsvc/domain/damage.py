"""Damaged blobs: a finding for metasvc, which quarantines the generation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from blobsvc.domain.model import BlobKey
from blobsvc.domain.ports import BlobReader
from svckit.errors import DomainError
from svckit.tokens import Damage, Finding
from svckit.tokens.signer import TokenSigner


class DamagedBlobError(DomainError):
    """The stored bytes of a blob are not those that were uploaded. A store raises it with what it has found.

    Attributes:
        damage: what is wrong.
    """

    default_reason = "BLOB_DAMAGED"

    def __init__(self, damage: Damage) -> None:
        """Takes what is wrong."""
        super().__init__()
        self.damage: Damage = damage


class FindingRecorder(Protocol):
    """Logs and counts what was found."""

    def found(self, key: BlobKey, damage: Damage) -> None:
        """Records one finding."""


@dataclass(frozen=True, slots=True)
class ReadPorts:
    """The ports of the use cases that read blobs.

    Attributes:
        blobs: the reader of the store.
        store_id: the id of the store.
        signer: signs findings.
        findings: records findings.
    """

    blobs: BlobReader
    store_id: str
    signer: TokenSigner
    findings: FindingRecorder


@contextmanager
def signing_damage(ports: ReadPorts, key: BlobKey) -> Iterator[None]:
    """Adds a signed finding to the error of a damaged blob.

    A blob that is missing counts as damaged: metasvc gives grants only for blobs that it has. Other errors, such as a
    disk that cannot be read, say nothing about the blob.

    Raises:
        DomainError: BLOB_DAMAGED with `finding`.
    """
    try:
        yield
    except DomainError as error:
        damage = _damage_in(error)
        if damage is None:
            raise
        ports.findings.found(key, damage)
        finding = ports.signer.sign(
            Finding(
                subject=f"service:{ports.signer.service}",
                digest=str(key.digest),
                generation=key.generation.number,
                damage=damage,
                store_id=ports.store_id,
            )
        )
        raise DomainError("BLOB_DAMAGED", metadata={"finding": finding.text}) from error


def _damage_in(error: DomainError) -> Damage | None:
    if isinstance(error, DamagedBlobError):
        return error.damage
    return "missing" if error.reason == "BLOB_UNKNOWN" else None
