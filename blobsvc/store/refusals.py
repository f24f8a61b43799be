"""Records refused uploads, for operators."""

from prometheus_client import CollectorRegistry, Counter

from blobsvc.domain.model import UploadOwner
from blobsvc.domain.unlinked import BOUNDS
from svckit.logging import get_logger

_log = get_logger(__name__)


class LoggedRefusals:
    """`domain.unlinked.RefusalRecorder`: a line in the log and a metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metric."""
        self._refused = Counter(
            "blobsvc_uploads_refused",
            "Uploads refused because of what others hold, by bound",
            ("bound",),
            registry=registry,
        )
        for bound in BOUNDS:
            # Each label starts at 0. Otherwise a rate would miss the first event.
            self._refused.labels(bound)

    def refused(self, owner: UploadOwner, bound: str) -> None:
        """As the port says."""
        self._refused.labels(bound).inc()
        _log.warning("upload_refused", bound=bound, project_id=owner.project_id, subject=owner.subject)
