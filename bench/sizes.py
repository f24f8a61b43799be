"""How much is measured: `make bench`, and `--quick`."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Sizes:
    """Numbers and sizes of everything that rows do.

    Attributes:
        rounds: how often each row is measured on each registry.
        seconds: how long small requests are sent in one round.
        warm_up_seconds: how long they are sent before the first round, unmeasured.
        blob_bytes: the large blob.
        layers: of the image that containerd fetches.
        layer_bytes: each of them.
        tags: of the repository whose tags are listed, in 100 pages.
        settle_seconds: from a start and a push to the reading of the memory.
    """

    rounds: int = 3
    seconds: float = 4.0
    warm_up_seconds: float = 0.5
    blob_bytes: int = 256 * _MIB
    layers: int = 20
    layer_bytes: int = 5 * _MIB
    tags: int = 10_000
    settle_seconds: float = 10.0


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    seconds=0.2,
    warm_up_seconds=0.0,
    blob_bytes=4 * _MIB,
    layers=3,
    layer_bytes=256 * 1024,
    tags=300,
    settle_seconds=0.0,
)
