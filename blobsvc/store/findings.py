"""Logs and counts damaged blobs."""

from prometheus_client import CollectorRegistry

from blobsvc.domain.model import BlobKey
from svckit.logging import get_logger
from svckit.metrics import labelled_counter
from svckit.tokens import Damage
from svckit.tokens.documents import DAMAGES

_log = get_logger(__name__)


class LoggedFindings:
    """`domain.damage.FindingRecorder`: a line in the log and a metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metric."""
        self._damaged = labelled_counter(
            "blobsvc_damaged_blobs", "Reads that found a blob damaged, by damage", "damage", DAMAGES, registry
        )

    def found(self, key: BlobKey, damage: Damage) -> None:
        """As the port says."""
        self._damaged.labels(damage).inc()
        _log.error("blob_damaged", digest=str(key.digest), generation=key.generation.number, damage=damage)
