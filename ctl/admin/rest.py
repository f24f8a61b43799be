"""Paths of the REST API, its objects, and its refusals."""

from typing import Any
from urllib.parse import quote

from ctl.errors import CommandError

PREFIX = "/api/v2.0"

Row = dict[str, Any]
"""An object of the API's JSON."""


class Refused(CommandError):
    """The API refused a request.

    Attributes:
        http_status: of the answer.
    """

    def __init__(self, text: str, http_status: int) -> None:
        """Takes the text for the person at the terminal, and the status of the answer."""
        super().__init__(text)
        self.http_status = http_status


def path(*segments: str | int) -> str:
    """A path of the API.

    Raises:
        CommandError: a segment is no name, and would lead elsewhere.
    """
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise CommandError(f"{segment!r} is not a name", 2)
    return PREFIX + "".join(f"/{quote(str(segment), safe='')}" for segment in segments)
