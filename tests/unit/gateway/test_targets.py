"""The target of a request: its forms, and that a route is reached by one spelling of its path only. On a real port."""

import json

import pytest

from gateway.wire.target import is_plain
from tests.unit.gateway.conftest import REPOSITORY, House, on_both_servers
from tests.unit.gateway.test_edge import talk

pytestmark = on_both_servers


async def ask(house: House, target: str, method: str = "GET", host: str = "x") -> tuple[int, str, bytes]:
    """The status, the head in lower case, and the body."""
    answer = await talk(house, f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


OPERATOR_PATHS = ["/healthz", "/readyz", "/metrics"]


@pytest.mark.parametrize("path", OPERATOR_PATHS)
async def test_an_operators_path_has_one_spelling(house: House, path: str) -> None:
    name = path[1:]
    assert (await ask(house, path))[0] == 200
    assert (await ask(house, f"http://x{path}?a=b"))[0] == 200
    for other in [
        f"//{name}",
        f"///{name}",
        f"{path}/",
        f"/./{name}",
        f"/x/../{name}",
        f"/%2e/{name}",
        f"/%{ord(name[0]):02x}{name[1:]}",
        f"/%2F{name}",
        f"%2f{name}",
        f"/{name.upper()}",
        f"/{name}%20",
        f"/{name}%00",
        f"/{name};x",
        f"/v2/../{name}",
        f"/v2//../{name}",
        f"http://x/{path}",
        f"http://x/%{ord(name[0]):02x}{name[1:]}",
    ]:
        status, _, body = await ask(house, other)
        assert (other, status) in {(other, 404), (other, 400)}
        assert (await ask(house, path))[2] != body


@pytest.mark.parametrize(
    "path",
    ["/%76%32/_catalog", "/v2/%5fcatalog", "//v2/_catalog", "/v2//_catalog", "/%73ervice/token", "//service/token"],
)
async def test_a_surface_is_not_reached_by_another_spelling(house: House, path: str) -> None:
    assert (await ask(house, path))[0] == 404


async def test_names_in_a_path_may_be_encoded(house: House) -> None:
    digest = house.hold(b"blob")
    encoded = digest.replace(":", "%3A")
    answer = await house.http.get(f"/v2/team/%61pp/blobs/{encoded}", headers=house.bearer())
    assert answer.content == b"blob"


def test_a_plain_path_is_the_only_spelling_of_itself() -> None:
    assert all(map(is_plain, ["/", "/metrics", "/a/b.c/~d", "/...", "/a.b"]))
    assert not any(map(is_plain, ["//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/%61", "/a%2Fb"]))


@pytest.mark.parametrize("scheme", ["http", "HTTP", "https"])
async def test_the_host_of_an_absolute_target_goes_before_the_host_header(house: House, scheme: str) -> None:
    # Granian does not tell the host of such a target.
    named = "other.example" if house.server == "granian" else "hub.example:8443"
    status, head, _ = await ask(house, f"{scheme}://hub.example:8443/v2/?x=1", host="other.example")
    assert status == 401
    assert f'realm="http://{named}/service/token"' in head
    assert "docker-distribution-api-version" in head


async def test_an_absolute_target_serves_blobs_and_tokens(house: House) -> None:
    digest = house.hold(b"blob")
    answer = await talk(
        house,
        f"GET http://x/v2/{REPOSITORY}/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {house.bearer()['Authorization']}\r\n\r\n".encode(),
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"blob")
    status, _, body = await ask(house, "http://x/service/token?service=harbor-registry")
    assert status == 200
    assert json.loads(body)["token"]


HYPER = {"http://[::1/v2/": 400, 'http://a",b/v2/': 400, "v2/": 400, "[::1": 400, "ftp://x/v2/": 401}
"""Targets that hyper answers itself, or tells as a path."""


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "http://x", 404),
        ("GET", "http://x?q", 404),
        ("GET", "http://x//v2/", 404),
        ("GET", "http://[::1/v2/", 401),
        ("GET", 'http://a",b/v2/', 401),
        ("GET", "ftp://x/v2/", 404),
        ("GET", "v2/", 404),
        ("GET", "*", 404),
        ("OPTIONS", "*", 404),
        ("CONNECT", "example.com:443", 405),
        ("CONNECT", "[::1", 405),
        ("CONNECT", "/v2/", 405),
        ("TRACE", "/v2/", 405),
    ],
)
async def test_every_other_target_has_an_answer(
    house: House, caplog: pytest.LogCaptureFixture, method: str, target: str, status: int
) -> None:
    found, head, body = await ask(house, target, method)
    if house.server == "granian" and target in HYPER:
        assert found == HYPER[target]
        return
    assert found == status
    assert json.loads(body)["errors"]
    assert 'realm="/service' in head or "realm" not in head
    assert "Traceback" not in caplog.text
