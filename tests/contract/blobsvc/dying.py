"""blobsvc as a process that kills itself at a chosen step: `python -m tests.contract.blobsvc.dying STEP CONFIG`."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blobsvc import server
from blobsvc.store.filesystem import commit, data_file, session, uploads
from svckit.tokens import Receipt
from svckit.tokens.signer import TokenSigner


def die(*_: Any, **__: Any) -> None:
    """As when somebody pulls the plug: nothing is flushed, nothing cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(place: Any, name: str) -> None:
    """Lets a function do its work, and dies before it returns."""
    function = getattr(place, name)

    def dying(*arguments: Any, **named: Any) -> None:
        function(*arguments, **named)
        die()

    setattr(place, name, dying)


def die_before(place: Any, name: str) -> None:
    """Dies where a function would begin."""
    setattr(place, name, die)


def die_with_the_receipt() -> None:
    """Signs the receipt, and dies before anybody gets it."""
    sign = TokenSigner.sign

    def dying(self: TokenSigner, claims: Any, **named: Any) -> Any:
        signed = sign(self, claims, **named)
        if isinstance(claims, Receipt):
            die()
        return signed

    setattr(TokenSigner, "sign", dying)  # noqa: B010 - an assignment would be one to a method


def die_in_the_middle_of_a_cancel() -> None:
    """Dies when the bytes are gone, and the record is not."""

    def dying(folder: Path) -> None:
        data_file.data_path(folder).unlink()
        die()

    setattr(uploads, "remove_session", dying)  # noqa: B010 - an assignment would be one to an imported name


STEPS: dict[str, Callable[[], None]] = {
    "start-half-made": lambda: die_before(session, "data_path"),
    "start-made": lambda: die_after(uploads, "create_session"),
    "bytes-written": lambda: die_after(session.HeldSession, "write"),
    "bytes-synced": lambda: die_after(session.HeldSession, "sync"),
    "hashed": lambda: die_after(session.HeldSession, "hash_more"),
    "stamped": lambda: die_after(session.HeldSession, "stamp"),
    "recorded": lambda: die_after(commit, "write_record"),
    "renamed": lambda: die_before(commit, "_make_name_durable"),
    "stored": lambda: die_after(commit, "store_as_blob"),
    "receipt-signed": die_with_the_receipt,
    "cancel-begun": die_in_the_middle_of_a_cancel,
    "none": lambda: None,
}
"""Where a push may be cut off, in its order."""


if __name__ == "__main__":
    STEPS[sys.argv[1]]()
    sys.exit(server.main(Path(sys.argv[2])))
