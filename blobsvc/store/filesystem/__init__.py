"""The blob store in a file system."""

from blobsvc.store.filesystem.store import FileStore

__all__ = ["FileStore"]
