"""The least ratios that Roadstead aims at, for each server that it may run on.

They are shown beside what was measured. Nothing fails by them: a busy machine would.
"""

from collections.abc import Mapping

_BY_TAG_AND_DIGEST = {
    f"manifest by {reference}, {connections}": aims
    for reference in ("tag", "digest")
    for connections, aims in (
        ("1 connection", (0.25, 0.33)),
        ("16 connections", (0.4, 0.9)),
        ("64 connections", (0.35, 1.2)),
    )
}
RATIOS: Mapping[str, tuple[float, float]] = {
    "blob down, 256 MiB, 1 stream": (0.8, 1.1),
    "blob down, 256 MiB, 4 streams": (0.8, 1.1),
    "blob up, 256 MiB, 1 stream": (1.1, 1.3),
    "blob up, 256 MiB, 4 streams": (1.1, 1.3),
    **_BY_TAG_AND_DIGEST,
    "HEAD blob, 16 connections": (0.4, 0.9),
    "small pushes, 1 client": (0.5, 0.7),
    "small pushes, 8 clients, own repositories": (0.5, 0.7),
    "small pushes, 8 clients, one repository": (0.5, 0.7),
    "containerd fetches 20 layers of 5 MiB": (1.0, 1.0),
    "tags/list of 10,000, page 1": (1.0, 1.0),
    "tags/list of 10,000, page 100": (1.0, 1.0),
}
"""By the name of the row: on Hypercorn, and on Granian."""

VALUES: Mapping[str, float] = {"cold start to ready": 4.0, "resident memory": 450.0}
"""By the name of the row: the greatest value, in its unit. The peer's is not compared with it."""


def aim(row: str, server: str) -> str:
    """The aim of a row, as text; empty if there is none, as for rows of other sizes."""
    if row in VALUES:
        return f"≤ {VALUES[row]:g}"
    if row in RATIOS:
        return f"≥ {RATIOS[row][server == 'granian']:.2f}"
    return ""
