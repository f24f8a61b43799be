"""The error of a service that cannot start."""

from typing import ClassVar

FAILED_STATUS = 1
"""The exit status of a start that may succeed when it is repeated."""
REFUSED_STATUS = 78
"""The exit status of a start that fails until somebody mends the installation (EX_CONFIG in sysexits.h)."""


class StartError(Exception):
    """The installation is wrong, not the program. The text is for the person who starts the service.

    Attributes:
        may_pass: whether the same start may succeed later, although nobody mends anything.
    """

    may_pass: ClassVar[bool] = False
