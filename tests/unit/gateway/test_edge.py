import asyncio
import json
import logging

import pytest

from gateway.config import GatewaySettings, Limits
from svckit.errors import error_for
from svckit.services import RPC_SERVICES
from tests.harness.waiting import wait_until_async
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of, on_both_servers

pytestmark = on_both_servers


async def talk(house: House, text: bytes) -> bytes:
    reader, writer = await house.raw()
    writer.write(text)
    await writer.drain()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/nginx/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/Team/App/tags/list", 400, "NAME_INVALID"),
        ("/v2/team//app/tags/list", 400, "NAME_INVALID"),
        ("/v2/team/app%2Fmanifests/latest/x", 404, "NAME_UNKNOWN"),
        ("/v2/team/%2e%2e/manifests/latest", 400, "NAME_INVALID"),
        ("/v2/team/app/manifests/%00", 400, "UNSUPPORTED"),
        ("/v2/team/app/manifests/%zz", 400, "UNSUPPORTED"),
        ("/v2/team/app/manifests/%ff", 400, "UNSUPPORTED"),
        ("/v2/team/app/manifests/", 404, "NAME_UNKNOWN"),
        ("/v2/team/app", 404, "NAME_UNKNOWN"),
        ("/v2//", 404, "NAME_UNKNOWN"),
        ("/v2/blobs/uploads/", 404, "NAME_UNKNOWN"),
        ("/v2/team/app/tags/list?last=%00", 400, "UNSUPPORTED"),
        ("/v2/team/app/tags/list?last=%ff", 400, "UNSUPPORTED"),
    ],
)
async def test_paths_that_cannot_be_are_refused_in_the_registrys_own_form(
    house: House, path: str, status: int, code: str
) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await talk(house, request.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"docker-distribution-api-version: registry/2.0" in head
    assert json.loads(body)["errors"][0]["code"] == code


async def test_a_name_without_a_project_is_refused_with_the_form_that_is_wanted(house: House) -> None:
    answer = await house.http.get("/v2/nginx/manifests/latest")
    assert "<project>/<name>" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PATCH", "/v2/a/b/manifests/x", "GET, HEAD, PUT, DELETE"),
        ("PUT", f"/v2/a/b/blobs/{digest_of(b'')}", "GET, HEAD, DELETE"),
        ("GET", "/v2/a/b/blobs/uploads/", "POST"),
        ("POST", "/v2/a/b/blobs/uploads/u", "GET, HEAD, PATCH, PUT, DELETE"),
        ("OPTIONS", "/v2/a/b/tags/list", "GET, HEAD"),
        ("BREW", "/v2/_catalog", "GET, HEAD"),
    ],
)
async def test_other_methods_are_405_with_those_that_are_allowed(
    house: House, method: str, path: str, allow: str
) -> None:
    answer = await house.http.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allow)
    assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"


async def test_what_is_too_long_or_too_much_is_refused(house: House) -> None:
    long_query = await house.http.get("/v2/a/b/tags/list?last=" + "x" * 17_000)
    assert (long_query.status_code, long_query.json()["errors"][0]["code"]) == (414, "UNSUPPORTED")
    many = await house.http.get("/v2/", headers=[("X-Many", str(n)) for n in range(120)])
    assert many.status_code == 431
    large = await house.http.get("/v2/", headers={"X-Large": "x" * 33_000})
    assert large.status_code == 431


@pytest.mark.parametrize("sent", [b"", b"GET /v2/ HTTP/1.1\r\nHost:", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_connection_without_a_request_is_closed(make_house: MakeHouse, sent: bytes) -> None:
    house = await make_house(limits=Limits(keep_alive_seconds=0.2))
    await talk(house, sent)


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.2"])
async def test_a_connection_stays_http_whatever_it_is_to_become(house: House, protocol: str) -> None:
    headers = (
        f"Connection: Upgrade, close\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    answer = await talk(house, f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"docker-distribution-api-version" in answer


async def test_two_lengths_of_one_body_are_refused(house: House) -> None:
    request = (
        f"POST /v2/{REPOSITORY}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    answer = await talk(house, request.encode())
    # hyper reads the chunks and drops the other length, as RFC 9112 §6.3 allows. It too serves nothing after them.
    assert answer.startswith(b"HTTP/1.1 401 " if house.server == "granian" else b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_full_house_is_503_with_retry_after_but_says_that_it_lives(make_house: MakeHouse) -> None:
    house = await make_house(limits=Limits(requests_in_flight=1, drain_seconds=0.2))
    reader, writer = await house.raw()
    token = house.bearer()["Authorization"]
    head = (
        f"PUT /v2/{REPOSITORY}/manifests/x HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 9\r\n\r\n"
    )
    writer.write(head.encode())
    await wait_until_async(lambda: house.app.in_flight, "the request to arrive")
    refused = await house.http.get("/v2/")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (await house.http.get("/healthz")).status_code == 200
    writer.write(b"{'a': 1}.")
    assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()


async def test_a_body_that_stands_still_is_given_up_and_says_so(make_house: MakeHouse) -> None:
    house = await make_house(limits=Limits(idle_body_seconds=0.2, drain_seconds=0.2))
    token = house.bearer()["Authorization"]
    head = (
        f"PUT /v2/{REPOSITORY}/manifests/x HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 9\r\n\r\n"
    )
    answer = await talk(house, head.encode() + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert house.server == "granian" or b"connection: close" in answer


async def test_a_refused_upload_hears_why_though_it_sends_its_body_first(house: House) -> None:
    reader, writer = await house.raw()
    head = f"PUT /v2/{REPOSITORY}/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
    writer.write(head.encode() + b"x" * 3_000_000)
    await writer.drain()
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"]}")
    assert answer.startswith(b"HTTP/1.1 401 ")
    writer.close()


def _patch(house: House, location: str, size: int) -> bytes:
    """The head of a PATCH with a body of this size."""
    token = house.bearer()["Authorization"]
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode()


async def test_a_body_waits_in_the_clients_socket_while_nobody_reads_it(house: House) -> None:
    go_on = asyncio.Event()
    house.blobsvc.waits_for = go_on
    begun = await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
    reader, writer = await house.raw()
    size = 64 * 1024 * 1024
    writer.write(_patch(house, begun.headers["Location"], size))
    writer.transport.set_write_buffer_limits(high=1)
    writer.write(b"x" * size)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await writer.drain()
    go_on.set()
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 202")
    writer.close()


async def test_a_stop_ends_what_is_stuck(make_house: MakeHouse) -> None:
    house = await make_house()
    house.blobsvc.waits_for = asyncio.Event()
    begun = await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
    _, writer = await house.raw()
    size = 64 * 1024 * 1024
    writer.write(_patch(house, begun.headers["Location"], size))
    writer.write(b"x" * size)
    await wait_until_async(lambda: house.app.in_flight, "the request to arrive")
    async with asyncio.timeout(5):
        await house.stop()
    assert house.app.in_flight == 0
    writer.transport.abort()


@pytest.mark.parametrize(("headers", "reads"), [([], False), ([(b"content-length", b"9")], True)])
async def test_a_request_without_a_body_is_not_waited_for_after_its_answer(
    house: House, headers: list[tuple[bytes, bytes]], reads: bool
) -> None:
    received: list[object] = []
    is_over = asyncio.Event()

    async def receive() -> object:
        received.append(None)
        await is_over.wait()
        return {"type": "http.disconnect"}

    async def send(_event: object) -> None:
        is_over.set()

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v2/",
        "query_string": b"",
        "headers": [(b"host", b"x"), *headers],
        "client": ("192.0.2.7", 50_000),
    }
    await house.app(scope, receive, send)
    await asyncio.sleep(0.01)
    assert bool(received) is reads


async def test_the_request_id_is_the_clients_own_where_it_is_sane_and_reaches_the_services(house: House) -> None:
    path = f"/v2/{REPOSITORY}/tags/list"
    answer = await house.http.get(path, headers={**house.bearer(), "X-Request-Id": "abc-123"})
    assert answer.headers["X-Request-Id"] == "abc-123"
    assert house.metasvc.request_ids == ["abc-123"]
    other = await house.http.get(path, headers={**house.bearer(), "X-Request-Id": "bad id\t!"})
    assert other.headers["X-Request-Id"] == house.metasvc.request_ids[1] != "bad id\t!"


async def test_errors_of_ours_hide_their_text(house: House) -> None:
    house.metasvc.failure = error_for("INTERNAL", "password=hunter2 at /var/lib")
    answer = await house.http.get(f"/v2/{REPOSITORY}/tags/list", headers=house.bearer())
    assert answer.status_code == 500
    assert answer.json() == {"errors": [{"code": "UNKNOWN", "message": "internal error"}]}
    house.metasvc.failure = None
    house.metasvc.tags = None  # type: ignore[assignment]  # so that the stand-in breaks
    broken = await house.http.get(f"/v2/{REPOSITORY}/tags/list", headers=house.bearer())
    assert broken.status_code == 500


async def test_an_overloaded_or_absent_service_is_503_with_retry_after(house: House) -> None:
    house.metasvc.failure = error_for("OVERLOADED")
    answer = await house.http.get(f"/v2/{REPOSITORY}/tags/list", headers=house.bearer())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_the_probes_tell_living_from_ready(house: House) -> None:
    assert (await house.http.get("/healthz")).text == "ok\n"
    ready = await house.http.get("/readyz")
    assert (ready.status_code, set(ready.text.splitlines())) == (200, {f"{name}: serving" for name in RPC_SERVICES})
    house.servers["blobsvc"].set_condition(away=(), is_full=True)
    await asyncio.sleep(1.1)
    degraded = await house.http.get("/readyz")
    assert degraded.status_code == 200
    assert "blobsvc: degraded (disk full)" in degraded.text.splitlines()
    house.servers["blobsvc"].set_condition(away=("blob store",), is_full=False)
    await asyncio.sleep(1.1)
    not_ready = await house.http.get("/readyz")
    assert (not_ready.status_code, not_ready.headers["Retry-After"]) == (503, "1")
    assert "blobsvc: not serving (blob store)" in not_ready.text.splitlines()
    assert (await house.http.get("/nothing")).status_code == 404
    assert (await house.http.post("/healthz")).status_code == 405


async def test_the_version_of_the_api_is_told_to_anybody(house: House) -> None:
    for headers in ({}, {"Authorization": "Basic bm9ib2R5Ondyb25n"}):
        answer = await house.http.get("/api/version", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"version": "v2.0"})
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (await house.http.post("/api/version")).status_code == 405
    assert (await house.http.get("/api/versions")).status_code == 404


async def test_metrics_count_by_route_and_are_for_this_machine_only(make_house: MakeHouse) -> None:
    house = await make_house()
    digest = house.hold(b"x" * 1000)
    await house.http.get(f"/v2/{REPOSITORY}/blobs/{digest}", headers=house.bearer())
    await house.http.get("/v2/whatever/x/y/z")
    text = (await house.http.get("/metrics")).text
    assert 'http_requests_total{code="200",method="GET",route="v2.blob"} 1.0' in text
    assert 'http_sent_bytes_total{method="GET",route="v2.blob"} 1000.0' in text
    assert 'route="unmatched"' in text
    assert REPOSITORY not in text
    elsewhere = await make_house(metrics_networks=("10.0.0.0/8",))
    hidden = await elsewhere.http.get("/metrics", headers={"X-Forwarded-For": "10.1.1.1"})
    assert hidden.status_code == 404


async def test_the_access_log_holds_no_query_and_no_credentials(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        begun = await house.http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
        await house.http.get(begun.headers["Location"])
        await house.http.get("/v2/", headers={"Authorization": "Basic YWxpY2U6aHVudGVyMg=="})
    text = "".join(str(record.msg) for record in caplog.records if record.name.startswith("gateway"))
    assert "v2.upload" in text
    assert "_state" not in text
    assert "eyJ" not in text
    assert "hunter2" not in text


def test_settings_are_refused_by_what_is_allowed() -> None:
    for wrong in (
        {"external_url": "registry.example.com"},
        {"external_url": "https://x/path"},
        {"token_path": "/v2/token"},
        {"trusted_proxies": ("10.0.0.1/8",)},
        {"tls_key_file": "/x"},
        {"manifest_max_bytes": 1},
    ):
        with pytest.raises(ValueError, match=r"allowed|10\.0\.0\.1|together|4194304"):
            GatewaySettings.model_validate(wrong)
