"""What the store counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds. A disk syncs in one millisecond or in a hundred; hashing 2 GiB anew takes two seconds and more.
_FSYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FINISH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class StoreMetrics:
    """Metrics of a file-system store.

    Attributes:
        uploaded_bytes: appended to uploads.
        read_bytes: read from blobs.
        rehashed_bytes: read again to be hashed: after a restart, or for an algorithm that was not announced.
        uploads_held: sessions that somebody is writing, finishing or cancelling now.
        uploads_ended: sessions that ended, by how: finished, mismatched, cancelled, expired, failed.
        finish_seconds: from the lock to the durable blob.
        fsync_seconds: of one data file.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers them."""
        self.uploaded_bytes = Counter("blobsvc_uploaded_bytes", "Bytes appended to uploads", registry=registry)
        self.read_bytes = Counter("blobsvc_read_bytes", "Bytes read from blobs", registry=registry)
        self.rehashed_bytes = Counter(
            "blobsvc_rehashed_bytes", "Bytes of uploads that were read again to be hashed", registry=registry
        )
        self.uploads_held = Gauge("blobsvc_uploads_held", "Uploads that are held for writing now", registry=registry)
        self.uploads_ended = Counter("blobsvc_uploads_ended", "Uploads that ended, by how", ("how",), registry=registry)
        for how in ("finished", "mismatched", "cancelled", "expired", "failed"):
            # Shown from the start as 0: a rate needs to have seen the first one come.
            self.uploads_ended.labels(how)
        self.finish_seconds = Histogram(
            "blobsvc_finish_seconds",
            "Seconds to verify and store an upload",
            buckets=_FINISH_BUCKETS,
            registry=registry,
        )
        self.fsync_seconds = Histogram(
            "blobsvc_fsync_seconds", "Seconds of an fsync of a data file", buckets=_FSYNC_BUCKETS, registry=registry
        )
