"""All rows, in the order of the report."""

from collections.abc import Sequence

from bench.registries.roadstead import Setup
from bench.rows.blobs import DownloadRow, UploadRow
from bench.rows.layers import FetchRow
from bench.rows.pushes import PushRow
from bench.rows.requests import HeadBlobRow, ManifestRow, TagPageRow
from bench.rows.row import Row
from bench.rows.start import ColdStartRow, MemoryRow
from bench.sizes import Sizes

KINDS = ("download", "upload", "manifest", "head", "push", "fetch", "tags", "start")
"""The words by which rows are chosen."""


def rows(kinds: Sequence[str], setup: Setup, sizes: Sizes) -> list[Row]:
    """The rows of some kinds."""
    every: list[Row] = [
        DownloadRow(1, sizes),
        DownloadRow(4, sizes),
        UploadRow(1, sizes),
        UploadRow(4, sizes),
        *(ManifestRow(reference, count, sizes) for reference in ("tag", "digest") for count in (1, 16, 64)),
        HeadBlobRow(16, sizes),
        PushRow(1, 1, sizes),
        PushRow(8, 8, sizes),
        PushRow(8, 1, sizes),
        FetchRow(sizes),
        TagPageRow(1, sizes),
        TagPageRow(100, sizes),
        ColdStartRow(setup, sizes),
        MemoryRow(setup, sizes),
    ]
    return [row for row in every if row.kind in kinds]
