"""What to do with a call that cannot be answered in a batch (`svckit.rpc.members`)."""

from __future__ import annotations

from enum import Enum


class AloneBecause(Enum):
    """Why a call has to come alone. The values are those of `roadstead.access.v1.ComeAlone`."""

    ACCESS = 1
    """authsvc has to be asked what the caller may do."""
    WRITE = 2
    """Something has to be written before the answer."""
    SIZE = 3
    """The content is too large for a batch."""


class ComeAlone(Exception):
    """The call has to come alone, so that the others of its batch do not wait for it.

    Attributes:
        because: why.
    """

    def __init__(self, because: AloneBecause) -> None:
        """Takes the reason."""
        super().__init__(because.name)
        self.because = because
