"""Calls the routes of /api/v2.0, and remembers which of them have answered."""

import re
from dataclasses import dataclass, field
from typing import Any

import httpx

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EMPTY = b""


@dataclass
class Walk:
    """Calls the API, and remembers which routes it has walked.

    Attributes:
        templates: every route that the installation describes.
        walked: those that answered with success.
    """

    client: httpx.Client
    templates: set[tuple[str, str]]
    walked: set[tuple[str, str]] = field(default_factory=set)

    def call(self, method: str, path: str, status: int = 200, **sent: Any) -> httpx.Response:
        answer = self.client.request(method, f"/api/v2.0{path}", **sent)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if status < 300:
            self.walked.add((method, self._template(method, path)))
        return answer

    def read(self, path: str, **sent: Any) -> Any:
        return self.call("GET", path, **sent).json()

    def change(self, method: str, path: str, document: Any = None) -> None:
        """What answers with 200 and nothing."""
        answer = self.call(method, path, **({} if document is None else {"json": document}))
        assert answer.content == EMPTY

    def create(self, path: str, document: Any) -> httpx.Response:
        answer = self.call("POST", path, 201, json=document)
        assert answer.headers["Location"].startswith("/api/v2.0/")
        return answer

    def _template(self, method: str, path: str) -> str:
        """The template that a path is of: the one with the most literals."""
        segments = f"/api/v2.0{path}".partition("?")[0].split("/")
        found = [
            template
            for known, template in self.templates
            if known == method
            and len(template.split("/")) == len(segments)
            and all(
                part.startswith("{") or part == segment
                for part, segment in zip(template.split("/"), segments, strict=True)
            )
        ]
        return min(found, key=lambda template: template.count("{"))
