"""Small JSON blobs that were uploaded through this process just now: the configs of images.

The manifest that names one follows within a second. metasvc reads the config of a new image, and would have to get it
from blobsvc, although this process has just carried it there.
"""

from __future__ import annotations

import re
from collections import OrderedDict

_LIMIT_BYTES = 2 * 1024 * 1024
# As `PutManifestRequest.config`.
_LARGEST_BYTES = 64 * 1024
# The config comes first in a manifest.
_LOOKED_AT_BYTES = 4096
_DIGEST = re.compile(rb'"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"')


class RecentConfigs:
    """A bounded number of bytes; the oldest go first.

    Who may push what is decided by others. metasvc believes bytes from here only if they have the digest that the
    manifest names, and only if the repository serves that blob.
    """

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        """Starts empty."""
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        # By the ticket of an upload, and by the digest once it is finished.
        self._contents: OrderedDict[str, bytes] = OrderedDict()

    def written(self, ticket: str, content: bytes) -> None:
        """Keeps the bytes of an upload, if they may be a config. They must be all bytes that it has."""
        self._take(ticket)
        if content.startswith(b"{") and len(content) <= _LARGEST_BYTES:
            self._keep(ticket, content)

    def finished(self, ticket: str, digest: str) -> None:
        """Notes that an upload is finished: its bytes have this digest."""
        content = self._take(ticket)
        if content:
            self._take(digest)
            self._keep(digest, content)

    def forget(self, ticket: str) -> None:
        """Drops the bytes of an upload, because it has others now."""
        self._take(ticket)

    def named_by(self, manifest: bytes) -> bytes:
        """The bytes of the first held blob that a manifest names; empty if there is none. It is not parsed."""
        if self._contents:
            for found in _DIGEST.finditer(manifest, 0, _LOOKED_AT_BYTES):
                content = self._contents.get(found[1].decode())
                if content is not None:
                    return content
        return b""

    def _keep(self, key: str, content: bytes) -> None:
        self._contents[key] = content
        self._held_bytes += len(key) + len(content)
        while self._held_bytes > self._limit_bytes:
            oldest, dropped = self._contents.popitem(last=False)
            self._held_bytes -= len(oldest) + len(dropped)

    def _take(self, key: str) -> bytes:
        content = self._contents.pop(key, b"")
        if content:
            self._held_bytes -= len(key) + len(content)
        return content
