"""Logs and counts quarantined and deleted generations."""

from prometheus_client import CollectorRegistry, Counter

from metasvc.domain.model import BlobKey
from svckit.logging import get_logger
from svckit.metrics import labelled_counter
from svckit.tokens import Damage
from svckit.tokens.documents import DAMAGES

_log = get_logger(__name__)


class MeteredBlobLog:
    """`domain.ports.BlobLog`: lines in the log, and metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics."""
        self._quarantined = labelled_counter(
            "metasvc_blobs_quarantined",
            "Live blobs that were found damaged, and are no longer served, by damage",
            "damage",
            DAMAGES,
            registry,
        )
        self._deleted = Counter(
            "metasvc_generations_deleted", "Generations of blobs that were deleted", registry=registry
        )

    def damaged(self, key: BlobKey, damage: Damage, found_by: str) -> None:
        """See the port."""
        self._quarantined.labels(damage).inc()
        _log.error("blob_quarantined", digest=key.digest, generation=key.generation, damage=damage, found_by=found_by)

    def other_store(self, known: str, found: str) -> None:
        """See the port."""
        _log.error("other_blob_store", known_store_id=known, found_store_id=found)

    def forgotten_store(self, known: str) -> None:
        """See the port."""
        _log.warning("blob_store_forgotten", known_store_id=known)

    def deleted(self, generations: int) -> None:
        """See the port."""
        self._deleted.inc(generations)
        _log.info("generations_deleted", generations=generations)
