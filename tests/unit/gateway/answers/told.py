"""What is recorded of a request: its answer, its log line, and how the services saw it."""

import asyncio
import logging
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

import pytest

from roadstead.meta.v1 import manifest_pb2
from tests.unit.gateway.answers.table import BLOB, MANIFEST, MANIFEST_DIGEST, Asked
from tests.unit.gateway.conftest import REPOSITORY, House

_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_RANDOM = re.compile(r"\b[0-9a-f]{32}\b")
_TIME = re.compile(r'"current_time":"[^"]+"')
_LOGGED = ("method", "path", "route", "status", "sent_bytes", "received_bytes", "client", "request_id", "trace_id")


@dataclass(frozen=True)
class Told:
    """The outcome of one request, without what is different in each run.

    Attributes:
        answer: the status, the headers in order, and the body; empty for a client that got none.
        log: the line of the request.
        seen: the request id, the trace and the client's address with each read and each request for a token. How many
            other calls a request takes is nothing that its client sees.
    """

    answer: list[Any]
    log: list[Any]
    seen: list[Any]

    def as_json(self) -> dict[str, Any]:
        """As it is recorded."""
        return asdict(self)


class Asking:
    """Asks the app of a house, without a server. Each request finds the services in the same state."""

    def __init__(self, house: House, caplog: pytest.LogCaptureFixture) -> None:
        self._house = house
        self._caplog = caplog
        self._secrets = {
            "{token}": house.token((REPOSITORY, "pull,push,delete")),
            "{pull_token}": house.token((REPOSITORY, "pull")),
            "{ticket}": house.keyring.ticket("upload-9", REPOSITORY, project_id=7, subject="user:7"),
        }

    async def __call__(self, asked: Asked) -> Told:
        self._reset()
        self._caplog.clear()
        sent: list[Any] = []
        events = self._events(asked)
        is_over = asyncio.Event()

        async def receive() -> Any:
            event = next(events, None)
            if event is None and not asked.leaves:
                await is_over.wait()
            return event or {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            sent.append(event)

        with self._caplog.at_level(logging.DEBUG, "gateway.app"):
            await self._house.app(self._scope(asked), receive, send)
        is_over.set()
        return Told(_answer(sent), self._log(), self._seen())

    def _reset(self) -> None:
        metasvc, blobsvc, authsvc = self._house.metasvc, self._house.blobsvc, self._house.authsvc
        for kept in (metasvc.manifests, metasvc.links, blobsvc.uploads, blobsvc.finished, blobsvc.blobs):
            kept.clear()
        for came in (metasvc.batches, authsvc.calls):
            came.clear()
        metasvc.tags[:] = ["a", "b", "latest"]
        metasvc.repositories[:] = [REPOSITORY, "team/other"]
        authsvc.allowed[REPOSITORY] = frozenset({"pull", "push", "delete"})
        blobsvc.uploads["upload-9"] = bytearray()
        self._house.hold(BLOB)
        stored = manifest_pb2.Manifest(
            digest=MANIFEST_DIGEST,
            media_type="application/vnd.oci.image.manifest.v1+json",
            size_bytes=len(MANIFEST),
            content=MANIFEST,
        )
        for reference in (MANIFEST_DIGEST, "latest"):
            metasvc.manifests[REPOSITORY, reference] = stored

    def _scope(self, asked: Asked) -> dict[str, Any]:
        raw, _, query = self._filled(asked.target).partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": asked.http_version,
            "method": asked.method,
            "scheme": "http",
            "path": unquote(raw),
            "raw_path": raw.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [
                *((b"host", host) for host in asked.hosts),
                *((name, self._filled(value.decode("latin-1")).encode("latin-1")) for name, value in asked.headers),
            ],
            "client": None if asked.peer is None else (asked.peer, 50_000),
            "server": ("127.0.0.1", 8080),
            "state": {},
            "extensions": {},
        }

    def _events(self, asked: Asked) -> Iterator[Any]:
        pieces = asked.body or (b"",)
        for number, piece in enumerate(pieces, 1):
            more = number < len(pieces) or asked.leaves
            yield {"type": "http.request", "body": piece, "more_body": more}

    def _filled(self, text: str) -> str:
        for name, secret in self._secrets.items():
            text = text.replace(name, secret)
        return text

    def _log(self) -> list[Any]:
        lines: list[Any] = [record.msg for record in self._caplog.records if record.name == "gateway.app"]
        return [[_masked(str(line.get(name, "-"))) for name in _LOGGED] for line in lines if line["event"] == "request"]

    def _seen(self) -> list[Any]:
        members = [member.call for batch in self._house.metasvc.batches for member in batch]
        calls = [*members, *self._house.authsvc.calls]
        return [[_masked(each.request_id), each.traceparent or "", each.client_address] for each in calls]


def _answer(sent: list[Any]) -> list[Any]:
    if not sent:
        return []
    begun, *pieces = sent
    assert begun["type"] == "http.response.start"
    assert [each["more_body"] for each in pieces] == [True] * (len(pieces) - 1) + [False]
    headers = [f"{name.decode('latin-1')}: {_masked(_text(name, value))}" for name, value in begun["headers"]]
    body = b"".join(each["body"] for each in pieces).decode("latin-1")
    return [begun["status"], headers, _masked(body)]


def _text(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1")
    # Quart keeps the methods of a route in a set.
    return ", ".join(sorted(text.split(", "))) if name == b"allow" and "OPTIONS" in text else text


def _masked(text: str) -> str:
    text = _TIME.sub('"current_time":"…"', _TOKEN.sub("<token>", text))
    return _RANDOM.sub("<random>", text)
