"""Clients that move, delete and read tags over HTTP at the same time, and write down what they hear."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Sequence

import httpx

from tests.harness.images import OCI_MANIFEST
from tests.harness.linearizability.history import History
from tests.harness.repository import Repository, dumped

_CLIENTS = 24
_TAGS = 8
_ANSWER_SECONDS = 30.0


def observe(gateways: Sequence[str], repository: Repository, operations: int, seed: int) -> History:
    """Does so many operations on the tags of one repository, through all gateways, and returns the history.

    Args:
        gateways: their URLs.
        repository: a repository without tags, with the blobs that its manifests name, and a token for it.
        operations: how many in all.
        seed: of the choices.
    """
    return asyncio.run(_observe(gateways, repository, operations, seed))


async def _observe(gateways: Sequence[str], repository: Repository, operations: int, seed: int) -> History:
    history = History()
    numbers = iter(range(operations))
    limits = httpx.Limits(max_connections=_CLIENTS * len(gateways))
    headers = {"Authorization": f"Bearer {repository.token}"}
    async with httpx.AsyncClient(headers=headers, timeout=_ANSWER_SECONDS, limits=limits, trust_env=False) as http:

        async def work(client: int) -> None:
            chance = random.Random(f"{seed} {client}")
            for number in numbers:
                url = f"{chance.choice(gateways)}{repository.path}/manifests/tag-{chance.randrange(_TAGS)}"
                await _operate(http, history, chance, url, dumped(repository.manifest(annotations={"n": str(number)})))

        await asyncio.gather(*(work(client) for client in range(_CLIENTS)))
    return history


async def _operate(http: httpx.AsyncClient, history: History, chance: random.Random, url: str, content: bytes) -> None:
    key = url.rpartition("/")[2]
    called = time.monotonic()
    match chance.choices(["GET", "HEAD", "PUT", "DELETE"], [60, 15, 20, 5])[0]:
        case "PUT":
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            headers = {"Content-Type": OCI_MANIFEST}
            status = await _status(http.put(url, content=content, headers=headers))
            if status == 201:
                history.wrote(key, digest, called)
            else:
                _expect_lost(status)
                history.lost("write", key, digest, called)
        case "DELETE":
            status = await _status(http.delete(url))
            if status in (202, 404):
                history.deleted(key, called, found=status == 202)
            else:
                _expect_lost(status)
                history.lost("delete", key, None, called)
        case method:
            try:
                answer = await http.request(method, url)
            except httpx.TransportError:
                return
            if answer.status_code == 404:
                history.read(key, None, called)
            elif answer.status_code == 200:
                history.read(key, answer.headers["Docker-Content-Digest"], called)
                if method == "GET":
                    # The bytes belong to the digest, wherever they came from.
                    seen = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
                    assert seen == answer.headers["Docker-Content-Digest"]
            else:
                _expect_lost(answer.status_code)


async def _status(request: object) -> int:
    """The status of the answer; 0 without one."""
    try:
        answer: httpx.Response = await request  # type: ignore[misc]
    except httpx.TransportError:
        return 0
    return answer.status_code


def _expect_lost(status: int) -> None:
    """Without an answer, or with 503, nobody knows whether the operation had its effect. Nothing else is expected."""
    assert status in (0, 503), status
