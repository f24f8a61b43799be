"""A Helm chart as helm has packed and pushed it (`charts/README.md`)."""

from pathlib import Path

from tests.harness.images import OCI_MANIFEST, Image, digest_of

_FOLDER = Path(__file__).parent / "charts"
README = "# Shop\n\nSells things. Größe: klein.\n".encode()
VALUES = b"# How many run at once.\nreplicas: 2\ncache:\n  enabled: false\n"
DEPENDENCIES = [
    {
        "name": "cache",
        "version": "0.1.0",
        "repository": "https://charts.example",
        "condition": "cache.enabled",
        "tags": ["backend"],
    }
]


def shop() -> Image:
    """The chart `shop`, with its README, values and one dependency."""
    parts = [(_FOLDER / name).read_bytes() for name in ("config.json", "shop-1.2.3.tgz")]
    return Image(OCI_MANIFEST, (_FOLDER / "manifest.json").read_bytes(), {digest_of(part): part for part in parts})
