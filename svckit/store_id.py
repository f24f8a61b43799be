"""The id of a blob store: a file in its folder. Two processes that read the same id use the same folder."""

from pathlib import Path

STORE_ID_FILE = "store-id"
"""The name of the file."""


def read_store_id(folder: Path) -> str:
    """Read the id of the store in a folder. It blocks.

    Raises:
        FileNotFoundError: the folder holds no store.
        OSError: the file cannot be read.
    """
    return (folder / STORE_ID_FILE).read_text(encoding="ascii").strip()
