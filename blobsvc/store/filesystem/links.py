"""Short texts, kept as the targets of symbolic links. These functions block.

A link is made whole or not at all, and it is durable once its folder is synced. A file needs a sync of its own besides.
Nobody follows these links, because their targets are no paths.
"""

import errno
import os
from pathlib import Path

# XFS takes 1,024 bytes, and others take more.
_LONGEST_BYTES = 1000
_NO_LINKS_HERE = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENAMETOOLONG}


def link_text(path: Path, text: str) -> bool:
    """Keep a text in a new link. Return False if it is too long, or if the file system has no links: use a file then.

    Raises:
        OSError: the link cannot be made, such as on a full disk.
    """
    if len(text.encode()) > _LONGEST_BYTES:
        return False
    try:
        path.symlink_to(text)
    except OSError as error:
        if error.errno not in _NO_LINKS_HERE:
            raise
        return False
    return True


def kept_text(path: Path) -> str:
    """The text of a link, or of a file, as older versions wrote all of them.

    Raises:
        FileNotFoundError: there is neither.
        OSError: it cannot be read.
        ValueError: it is no text.
    """
    try:
        return os.readlink(path)  # noqa: PTH115 - Path.readlink would change the text as if it were a path
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return path.read_text("utf-8")


def open_if_file(path: Path) -> int | None:
    """A descriptor of the file that keeps a text; None if it is a link, which cannot be synced by itself.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None
