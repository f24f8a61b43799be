"""Attacks on the gateway."""

from collections.abc import Callable

import h2.config
import h2.connection
import httpx

from tests.harness.attacks.attacker import Attack, Attacker
from tests.harness.images import OCI_MANIFEST
from tests.harness.plain_http import NO_TLS
from tests.harness.repository import dumped

_LARGEST = 4 * 1024 * 1024
_LENGTH = f"Content-Length: {_LARGEST}"
_ALL_BUT_ONE = b" " * (_LARGEST - 1)


def head(method: str, path: str, *fields: str) -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def bearer(token: str) -> str:
    """The field with a token."""
    return f"Authorization: Bearer {token}"


def _http2_head(path: str, token: str) -> list[tuple[str, str]]:
    names = {":method": "GET", ":scheme": "http", ":authority": "x", ":path": path}
    return [*names.items(), ("authorization", f"Bearer {token}")]


def _http2(act: Callable[[h2.connection.H2Connection], None]) -> bytes:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    act(client)
    return client.data_to_send()


async def unread_bodies(attacker: Attacker) -> None:
    """A forged token, and all of the largest manifest but a byte."""
    await attacker.ask(100, head("PUT", attacker.target.manifest, bearer("x.y.z"), _LENGTH) + _ALL_BUT_ONE)


async def bodies_with_a_token_that_anybody_gets(attacker: Attacker) -> None:
    """The same with the token of an anonymous caller."""
    target = attacker.target
    await attacker.ask(100, head("PUT", target.manifest, bearer(target.anonymous), _LENGTH) + _ALL_BUT_ONE)


async def bodies_of_one_token_that_never_end(attacker: Attacker) -> None:
    """The same with a token that may push."""
    target = attacker.target
    await attacker.hold(100, head("PUT", target.manifest, bearer(target.token), _LENGTH) + _ALL_BUT_ONE)


async def forms_that_never_end(attacker: Attacker) -> None:
    """Forms of the token service."""
    form = "Content-Type: application/x-www-form-urlencoded"
    await attacker.hold(900, head("POST", "/service/token", form, "Content-Length: 1000") + b"g")


async def slow_readers_of_a_public_blob(attacker: Attacker) -> None:
    """Nothing of the answers is read."""
    target = attacker.target
    await attacker.hold(300, head("GET", target.blob, bearer(target.anonymous)))


async def slow_readers_without_a_window(attacker: Attacker) -> None:
    """The same over HTTP/2: a window of 64 KiB for twenty blobs on each connection."""
    target = attacker.target

    def act(client: h2.connection.H2Connection) -> None:
        for stream in range(1, 41, 2):
            client.send_headers(stream, _http2_head(target.blob, target.anonymous), end_stream=True)

    await attacker.hold(20, _http2(act))


async def dripping_uploads_of_one_token(attacker: Attacker) -> None:
    """As many uploads as one token may begin, two writers each."""
    target = attacker.target
    known = {"Authorization": f"Bearer {target.token}"}
    locations = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{target.port}", verify=NO_TLS, timeout=30) as client:
        for _ in range(60):
            begun = await client.post(f"{target.path}/blobs/uploads/", headers=known)
            attacker.count()
            if begun.status_code == 202:
                locations.append(begun.headers["Location"])
        for location in locations:
            drip = head("PATCH", location, bearer(target.token), "Content-Length: 1000000") + b"x"
            for _ in range(2):
                _, writer = await attacker.connect()
                writer.write(drip)
        await attacker.hold(0, b"")
        attacker.close()
        for location in locations:
            await client.delete(location, headers=known)


async def slow_heads(attacker: Attacker) -> None:
    """Heads that do not end."""
    await attacker.hold(900, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")


async def large_heads_that_do_not_end(attacker: Attacker) -> None:
    """The same, and nearly as large as Granian keeps them. Hypercorn refuses them much earlier."""
    await attacker.hold(900, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 130_000)


async def heads_that_never_end(attacker: Attacker) -> None:
    """Heads that go on."""
    await attacker.ask(50, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X-More: 0123456789\r\n" * 100_000)


async def idle_connections(attacker: Attacker) -> None:
    """More connections than one gateway keeps."""
    await attacker.hold(2500, b"")


async def rapid_resets(attacker: Attacker) -> None:
    """HTTP/2 requests that are taken back at once."""

    def act(client: h2.connection.H2Connection) -> None:
        for stream in range(1, 600, 2):
            client.send_headers(stream, _http2_head("/v2/", attacker.target.token), end_stream=True)
            client.reset_stream(stream)

    await attacker.ask(10, _http2(act))


async def many_idle_streams(attacker: Attacker) -> None:
    """HTTP/2 requests whose bodies do not come."""
    target = attacker.target

    def act(client: h2.connection.H2Connection) -> None:
        for stream in range(1, 199, 2):
            fields = _http2_head(target.manifest, target.anonymous)
            client.send_headers(stream, [(":method", "PUT"), *fields[1:], ("content-length", "1000")])

    await attacker.hold(10, _http2(act))


async def json_bombs(attacker: Attacker) -> None:
    """Manifests of very many arrays."""
    await _put(attacker, b"[" + b"[]," * 1_300_000 + b"[]]")


async def json_of_many_keys(attacker: Attacker) -> None:
    """Manifests of very many keys."""
    await _put(attacker, dumped({f"k{number}": 0 for number in range(250_000)}))


async def _put(attacker: Attacker, bomb: bytes) -> None:
    target = attacker.target
    fields = (bearer(target.token), f"Content-Type: {OCI_MANIFEST}", f"Content-Length: {len(bomb)}")
    await attacker.ask(8, head("PUT", target.manifest, *fields) + bomb)


async def a_thousand_ranges(attacker: Attacker) -> None:
    """Ranges that are not adjacent."""
    target = attacker.target
    ranges = ",".join(f"{start * 16000}-{start * 16000 + 9}" for start in range(1000))
    await attacker.ask(20, head("GET", target.blob, bearer(target.anonymous), f"Range: bytes={ranges}"))


ATTACKS: tuple[Attack, ...] = (
    unread_bodies,
    bodies_with_a_token_that_anybody_gets,
    bodies_of_one_token_that_never_end,
    forms_that_never_end,
    slow_readers_of_a_public_blob,
    slow_readers_without_a_window,
    dripping_uploads_of_one_token,
    slow_heads,
    heads_that_never_end,
    idle_connections,
    rapid_resets,
    many_idle_streams,
    json_bombs,
    json_of_many_keys,
    a_thousand_ranges,
)

ON_GRANIAN: tuple[Attack, ...] = (large_heads_that_do_not_end,)
"""Those that only Granian keeps anything of."""
