"""The metrics of the file-system store."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from svckit.metrics import labelled_counter

# Seconds. An fsync takes between one millisecond and a hundred. To hash 2 GiB again takes two seconds or more.
_FSYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FINISH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class StoreMetrics:
    """Metrics of a file-system store.

    Attributes:
        uploaded_bytes: bytes appended to uploads.
        read_bytes: bytes read from blobs.
        rehashed_bytes: bytes read again to be hashed, after a restart or for another algorithm than the announced one.
        uploads_held: sessions that are locked now, to be written, finished or cancelled.
        uploads_ended: sessions that ended, by how: finished, mismatched, cancelled, expired, failed.
        finish_seconds: the time from the lock to the durable blob.
        fsync_seconds: the time of one fsync of a data file.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics."""
        self.uploaded_bytes = Counter("blobsvc_uploaded_bytes", "Bytes appended to uploads", registry=registry)
        self.read_bytes = Counter("blobsvc_read_bytes", "Bytes read from blobs", registry=registry)
        self.rehashed_bytes = Counter(
            "blobsvc_rehashed_bytes", "Bytes of uploads that were read again to be hashed", registry=registry
        )
        self.uploads_held = Gauge("blobsvc_uploads_held", "Uploads that are held for writing now", registry=registry)
        hows = ("finished", "mismatched", "cancelled", "expired", "failed")
        self.uploads_ended = labelled_counter(
            "blobsvc_uploads_ended", "Uploads that ended, by how", "how", hows, registry
        )
        self.finish_seconds = Histogram(
            "blobsvc_finish_seconds",
            "Seconds to verify and store an upload",
            buckets=_FINISH_BUCKETS,
            registry=registry,
        )
        self.fsync_seconds = Histogram(
            "blobsvc_fsync_seconds", "Seconds of an fsync of a data file", buckets=_FSYNC_BUCKETS, registry=registry
        )
