"""Where the files of blobs are, as blobsvc has named them."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from gateway.clients.store_folder import PlacedFile

MOST_PLACEMENTS = 16_384
"""How many are kept: about 700 bytes each."""


class KeptPlacement(NamedTuple):
    """The file of one generation of a blob."""

    generation: int
    place: PlacedFile


class PlacementCache:
    """A bounded number of placements, one for each digest; the least recently used go first.

    It never decides anything. metasvc says for every read whether the caller may have the blob, and which generation is
    served. Only a placement of that generation is used then, and only if the file is still the one that blobsvc named.
    """

    def __init__(self, most: int = MOST_PLACEMENTS) -> None:
        """Starts empty.

        Args:
            most: the most placements.
        """
        self._most = most
        self._kept: OrderedDict[str, KeptPlacement] = OrderedDict()

    def find(self, digest: str) -> KeptPlacement | None:
        """The placement of the generation that was read last."""
        kept = self._kept.get(digest)
        if kept is not None:
            self._kept.move_to_end(digest)
        return kept

    def keep(self, digest: str, kept: KeptPlacement) -> None:
        """Keeps what blobsvc has named, once the file was found there."""
        self._kept[digest] = kept
        self._kept.move_to_end(digest)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, digest: str, kept: KeptPlacement) -> None:
        """Drops a placement whose file was not as blobsvc has named it. A newer one stays."""
        if self._kept.get(digest) == kept:
            del self._kept[digest]

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)
