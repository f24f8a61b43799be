"""The REST API of an installation, for one user. Every error says what to do."""

import json
import ssl
from typing import Any, Self

import httpx

from ctl.admin.advice import refusal, unreachable
from ctl.admin.rest import PREFIX, Refused, Row
from ctl.admin.steps import done_so_far
from ctl.admin.target import Target
from ctl.errors import CommandError

_PAGE_SIZE = 100  # the most that the API gives
# Longer than the gateway lets a request take.
_ANSWER_SECONDS = 120.0
_CONNECT_SECONDS = 10.0
_BY_NAME = "X-Is-Resource-Name"


class Api:
    """One connection to an installation. Use it in a `with` block."""

    def __init__(self, target: Target) -> None:
        """Connects with the first request."""
        self.target = target
        verify: ssl.SSLContext | bool = target.tls if target.tls is not None else False
        self._client = httpx.Client(
            base_url=target.url,
            auth=httpx.BasicAuth(target.user, target.password),
            # A project whose name is a number is meant by its name.
            headers={"User-Agent": "roadstead-admin", _BY_NAME: "true"},
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            verify=verify,
            transport=httpx.HTTPTransport(uds=str(target.socket), verify=verify) if target.socket else None,
            # Variables such as HTTPS_PROXY count, but not for a socket of this machine.
            trust_env=target.socket is None,
        )

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connection."""
        self._client.close()

    def get(self, where: str, **query: str | int) -> Any:
        """Reads an object.

        Raises:
            CommandError: there is no answer, or a refusal (Refused).
        """
        return _document(self._send("GET", where, params=query), self.target)

    def text(self, where: str) -> str:
        """Reads a text, such as a log.

        Raises:
            CommandError: there is no answer, or a refusal (Refused).
        """
        return self._send("GET", where).content.decode(errors="replace")

    def changed(self, where: str) -> Row:
        """Reads an object that was just changed. A failure says that it was.

        Raises:
            CommandError: there is no answer, or a refusal.
        """
        with done_so_far("it is changed, but cannot be shown"):
            row: Row = self.get(where)
        return row

    def rows(self, where: str, limit: int | None = None, **query: str | int) -> list[Row]:
        """Reads a list, page by page.

        Args:
            where: the path.
            limit: the most rows to read; None for all.
            query: filters and order.

        Raises:
            CommandError: there is no answer, or a refusal (Refused).
        """
        rows: list[Row] = []
        asked: dict[str, str | int] = {**query, "page_size": min(limit or _PAGE_SIZE, _PAGE_SIZE)}
        while True:
            answer = self._send("GET", where, params=asked)
            page = _document(answer, self.target)
            if not isinstance(page, list):
                raise _no_api(self.target)
            rows += page
            token = answer.headers.get("X-Next-Page-Token")
            if not token or (limit is not None and len(rows) >= limit):
                return rows[:limit]
            asked["page_token"] = token

    def create(self, where: str, body: Row) -> Row:
        """Creates an object, and reads it.

        Raises:
            CommandError: there is no answer, or a refusal (Refused, if nothing was created).
        """
        answer = self._send("POST", where, json=body)
        location = answer.headers.get("Location", "")
        if not location.startswith(PREFIX):
            raise _no_api(self.target)
        with done_so_far("it is created, but cannot be shown"):
            # It names the project by its id.
            created: Row = _document(self._send("GET", location, headers={_BY_NAME: "false"}), self.target)
        return created

    def call(self, method: str, where: str, body: Row | None = None, *, etag: str = "") -> Any:
        """Sends any other request, and returns the JSON of the answer; None if it has none.

        Args:
            method: of HTTP.
            where: the path.
            body: the JSON to send.
            etag: of the state that the caller has read. If it has changed since, the request is refused with 412.

        Raises:
            CommandError: there is no answer, or a refusal (Refused).
        """
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        answer = self._send(method, where, json=body, headers=headers)
        return _document(answer, self.target) if answer.content else None

    def _send(self, method: str, where: str, **more: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, where, **more)
        except httpx.HTTPError as error:
            raise CommandError(unreachable(error, self.target)) from error
        if not answer.is_success:
            raise Refused(refusal(answer, self.target), answer.status_code)
        return answer


def _document(answer: httpx.Response, target: Target) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError as error:
        raise _no_api(target) from error


def _no_api(target: Target) -> CommandError:
    return CommandError(f"{target.name} answers, but not as Harbor's API does; is the URL that of the gateway?")
