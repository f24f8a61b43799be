"""Logs and counts damaged blobs."""

from prometheus_client import CollectorRegistry, Counter

from blobsvc.domain.model import BlobKey
from svckit.logging import get_logger
from svckit.tokens import Damage
from svckit.tokens.documents import DAMAGES

_log = get_logger(__name__)


class LoggedFindings:
    """`domain.damage.FindingRecorder`: a line in the log and a metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metric."""
        self._damaged = Counter(
            "blobsvc_damaged_blobs", "Reads that found a blob damaged, by damage", ("damage",), registry=registry
        )
        for damage in DAMAGES:
            # Each label starts at 0. Otherwise a rate would miss the first event.
            self._damaged.labels(damage)

    def found(self, key: BlobKey, damage: Damage) -> None:
        """As the port says."""
        self._damaged.labels(damage).inc()
        _log.error("blob_damaged", digest=str(key.digest), generation=key.generation.number, damage=damage)
