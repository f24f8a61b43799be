"""Bytes of manifests by their digest, so that metasvc does not send again what this process has already."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from svckit.logging import get_logger
from svckit.oci.digest import Digest
from svckit.oci.errors import OciFormatError

_log = get_logger(__name__)

# Hashing takes the event loop's time, and one large manifest must not drive out a hundred others.
_LARGEST_BYTES = 1024 * 1024
# What an entry takes beside the bytes: the digest, and the rows of two dictionaries.
_ENTRY_BYTES = 512
_MOST_HINTS = 8192


class HeldManifest(NamedTuple):
    """Bytes that belong to a digest."""

    digest: str
    content: bytes


class ManifestCache:
    """A bounded number of bytes; the least recently used go first.

    It never decides anything. metasvc says for every read which digest the reference names, whether the caller may have
    it, and its media type. Only then are bytes taken from here. The digest that a tag named last is a guess, which
    metasvc confirms, or else sends the bytes.

    Attributes:
        held_bytes: how much is held.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Starts empty.

        Args:
            limit_bytes: the most bytes; 0 to hold nothing.
        """
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._hints: OrderedDict[tuple[str, str], str] = OrderedDict()

    def find(self, repository: str, reference: str) -> HeldManifest | None:
        """The bytes that the reference may name, if they are here. A digest names its bytes; a tag may have moved."""
        digest = reference if ":" in reference else self._hints.get((repository, reference))
        content = None if digest is None else self._contents.get(digest)
        if digest is None or content is None:
            return None
        self._contents.move_to_end(digest)
        return HeldManifest(digest, content)

    def keep(self, repository: str, reference: str, digest: str, content: bytes) -> None:
        """Keeps bytes that metasvc has sent, after checking that they belong to the digest."""
        if ":" not in reference:
            self._hints[repository, reference] = digest
            self._hints.move_to_end((repository, reference))
            if len(self._hints) > _MOST_HINTS:
                self._hints.popitem(last=False)
        size_bytes = len(content) + _ENTRY_BYTES
        if digest in self._contents or size_bytes > min(self._limit_bytes, _LARGEST_BYTES):
            return
        if not _belongs(content, digest):
            # The client checks it, too, and sees that these bytes are wrong.
            _log.error("manifest bytes do not match their digest", repository=repository, digest=digest)
            return
        self._contents[digest] = content
        self.held_bytes += size_bytes
        while self.held_bytes > self._limit_bytes:
            _, dropped = self._contents.popitem(last=False)
            self.held_bytes -= len(dropped) + _ENTRY_BYTES


def _belongs(content: bytes, digest: str) -> bool:
    try:
        return Digest.parse(digest).matches(content)
    except OciFormatError:
        return False
