"""Records refused uploads, for operators."""

from prometheus_client import CollectorRegistry

from blobsvc.domain.model import UploadOwner
from blobsvc.domain.unlinked import BOUNDS
from svckit.logging import get_logger
from svckit.metrics import labelled_counter

_log = get_logger(__name__)


class LoggedRefusals:
    """`domain.unlinked.RefusalRecorder`: a line in the log and a metric."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metric."""
        self._refused = labelled_counter(
            "blobsvc_uploads_refused",
            "Uploads refused because of what others hold, by bound",
            "bound",
            BOUNDS,
            registry,
        )

    def refused(self, owner: UploadOwner, bound: str) -> None:
        """As the port says."""
        self._refused.labels(bound).inc()
        _log.warning("upload_refused", bound=bound, project_id=owner.project_id, subject=owner.subject)
