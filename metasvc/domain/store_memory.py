"""Remembers the id of the right blob store (`domain.blob_store`)."""

from __future__ import annotations


class StoreMemory:
    """The id of the right store, so that the database is read once.

    Attributes:
        store_id: the id; None until it is known.
    """

    def __init__(self) -> None:
        """Knows nothing yet."""
        self.store_id: str | None = None
