import asyncio
import ssl
from pathlib import Path

import h2.exceptions
import httpx
import pytest

from gateway.config import GatewaySettings
from gateway.servers.chosen import serve_http
from tests.harness.certificates import Authority
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of, on_both_servers

pytestmark = on_both_servers

CONTENT = bytes(range(256)) * 5 * 4096


@pytest.fixture
async def tls_house(make_house: MakeHouse, tmp_path: Path) -> House:
    issued = Authority(tmp_path / "authority").issue()
    return await make_house(tls_certificate_file=issued.certificate, tls_key_file=issued.key)


def client(house: House, tmp_path: Path, *, http2: bool) -> httpx.AsyncClient:
    trusted = ssl.create_default_context(cafile=str(tmp_path / "authority" / "ca.pem"))
    return httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{house.port}", verify=trusted, trust_env=False, timeout=20, http2=http2
    )


async def test_a_certificate_without_its_key_is_refused_at_the_start(server: str, house: House, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    mine, other = authority.issue(), tmp_path / "other.pem"
    other.write_text("no key")
    files = {"tls_certificate_file": mine.certificate, "tls_key_file": other}
    settings = GatewaySettings.model_validate({"server": server, "listen": ("127.0.0.1:0",), **files})
    with pytest.raises(OSError, match=r"(?i)pem|ssl"):
        await serve_http(house.app, settings, asyncio.Event().wait)


@pytest.mark.parametrize("http2", [False, True])
async def test_blobs_go_up_and_down_over_tls(tls_house: House, tmp_path: Path, http2: bool) -> None:
    digest = digest_of(CONTENT)
    async with client(tls_house, tmp_path, http2=http2) as http:
        refused = await http.get("/v2/")
        assert refused.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        realm = f'realm="https://127.0.0.1:{tls_house.port}/service/token"'
        assert realm in refused.headers["WWW-Authenticate"]
        begun = await http.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=tls_house.bearer())
        location = f"{begun.headers['Location']}&digest={digest}"
        closed = await http.put(location, content=CONTENT, headers=tls_house.bearer())
        assert closed.status_code == 201
        down = await http.get(closed.headers["Location"], headers=tls_house.bearer())
        assert down.content == CONTENT
        head = await http.head(closed.headers["Location"], headers=tls_house.bearer())
        assert head.headers["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize("http2", [False, True])
async def test_a_read_that_fails_in_the_middle_is_an_error_to_the_client(
    tls_house: House, tmp_path: Path, http2: bool
) -> None:
    digest = tls_house.hold(CONTENT)
    tls_house.blobsvc.breaks_after = 1024 * 1024
    async with client(tls_house, tmp_path, http2=http2) as http:
        # httpx lets the h2 package's own error through.
        with pytest.raises((httpx.RemoteProtocolError, h2.exceptions.InvalidBodyLengthError)):
            await http.get(f"/v2/{REPOSITORY}/blobs/{digest}", headers=tls_house.bearer())


async def test_a_refused_body_under_http2_leaves_the_connection_usable(tls_house: House, tmp_path: Path) -> None:
    # Granian resets the stream without an error (RFC 9113 §8.1). httpx then waits for a window if it is still sending.
    content = CONTENT if tls_house.server == "hypercorn" else b"short"
    async with client(tls_house, tmp_path, http2=True) as http:
        refused = await http.put(f"/v2/{REPOSITORY}/manifests/x", content=content)
        assert refused.status_code == 401
        assert (await http.get("/v2/", headers=tls_house.bearer())).status_code == 200
