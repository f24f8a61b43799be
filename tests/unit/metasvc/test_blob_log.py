"""What operators can watch of damaged and deleted blobs."""

import pytest
from prometheus_client import CollectorRegistry

from metasvc.domain.model import BlobKey
from metasvc.store.blob_log import MeteredBlobLog
from svckit.tokens.documents import DAMAGES


def test_each_damage_and_each_deletion_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    log = MeteredBlobLog(registry)
    for damage in DAMAGES:
        assert registry.get_sample_value("metasvc_blobs_quarantined_total", {"damage": damage}) == 0

    log.damaged(BlobKey("sha256:a", 7), "size", "read")
    log.deleted(3)

    assert registry.get_sample_value("metasvc_blobs_quarantined_total", {"damage": "size"}) == 1
    assert registry.get_sample_value("metasvc_generations_deleted_total") == 3
    assert "blob_quarantined" in caplog.text
    assert "found_by" in caplog.text
