"""What the store counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds. A disk syncs in one millisecond or in a hundred; hashing 2 GiB anew takes two seconds and more.
_FSYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FINISH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class StoreMetrics:
    """Metrics of a file-system store.

    Attributes:
        bytes_in: appended to uploads.
        bytes_out: read from blobs.
        uploads_held: sessions that somebody is writing, finishing or cancelling now.
        uploads_ended: sessions that ended, by how: finished, mismatched, cancelled, expired, failed.
        bytes_hashed_again: read again to be hashed: after a restart, or for an algorithm that was not announced.
        finish_seconds: from the lock to the durable blob.
        fsync_seconds: of one data file.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers them."""
        self.bytes_in = Counter("blob_bytes_in", "Bytes appended to uploads", registry=registry)
        self.bytes_out = Counter("blob_bytes_out", "Bytes read from blobs", registry=registry)
        self.uploads_held = Gauge("blob_uploads_held", "Uploads that are held for writing now", registry=registry)
        self.uploads_ended = Counter("blob_uploads_ended", "Uploads that ended, by how", ("how",), registry=registry)
        self.bytes_hashed_again = Counter(
            "blob_bytes_hashed_again", "Bytes of uploads that were read again to be hashed", registry=registry
        )
        self.finish_seconds = Histogram(
            "blob_finish_seconds", "Seconds to verify and store an upload", buckets=_FINISH_BUCKETS, registry=registry
        )
        self.fsync_seconds = Histogram(
            "blob_fsync_seconds", "Seconds of an fsync of a data file", buckets=_FSYNC_BUCKETS, registry=registry
        )
