"""Commands that take more than one request: a failure says what was done before it, and how to go on."""

from collections.abc import Iterator
from contextlib import contextmanager

from ctl.errors import CommandError


@contextmanager
def done_so_far(what: str, go_on: str = "") -> Iterator[None]:
    """Says, with each failure inside the block, what was done before it.

    Without this, an operator would repeat a command whose first part has taken effect.

    Args:
        what: what was done, and what is missing, as a sentence without a full stop.
        go_on: the command that does the rest; empty if the failure says enough.
    """
    try:
        yield
    except CommandError as error:
        advice = f". `{go_on}` does the rest" if go_on else ""
        raise CommandError(f"{what}: {error}{advice}", error.status) from error
