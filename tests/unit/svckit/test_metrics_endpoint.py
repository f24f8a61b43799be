"""Metrics are served where the operator says, and only there."""

import asyncio
import socket
import threading

import httpx
import pytest

from svckit.metrics import Metrics
from svckit.metrics_endpoint import MetricsListenError, metrics_endpoint
from svckit.rpc.address import TcpAddress
from svckit.settings import ServiceSettings, SettingsError
from tests.harness.plain_http import NO_TLS


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def scrape(address: TcpAddress | None, path: str = "/metrics", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
        return await client.get(f"http://{address}{path}", headers=headers)


async def test_it_answers_with_what_was_counted_until_now() -> None:
    metrics = Metrics("metasvc")
    counted = 'rpc_server_handled_total{code="OK",method="/m.S/Get",service="metasvc"}'
    async with metrics_endpoint(metrics, "127.0.0.1:0") as address:
        metrics.observe_rpc("/m.S/Get", "OK", 0.01)
        first = await scrape(address)
        metrics.observe_rpc("/m.S/Get", "OK", 0.01)
        second = await scrape(address)

    assert first.status_code == 200
    assert first.headers["content-type"].startswith("text/plain; version=")
    assert f"{counted} 1.0\n" in first.text
    assert f"{counted} 2.0\n" in second.text


async def test_it_speaks_openmetrics_to_whoever_asks() -> None:
    async with metrics_endpoint(Metrics("metasvc"), "127.0.0.1:0") as address:
        answer = await scrape(address, accept="application/openmetrics-text; version=1.0.0")

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_without_a_setting_nothing_listens() -> None:
    threads = threading.active_count()
    async with metrics_endpoint(Metrics("metasvc"), "") as address:
        assert address is None
        assert threading.active_count() == threads


async def test_it_listens_on_the_address_named_and_on_no_other() -> None:
    async with metrics_endpoint(Metrics("metasvc"), "127.0.0.1:0") as address:
        assert address is not None
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", address.port)) != 0


@pytest.mark.parametrize(
    "host",
    ["localhost", pytest.param("[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine"))],
)
async def test_names_and_ipv6_addresses_will_do(host: str) -> None:
    async with metrics_endpoint(Metrics("metasvc"), f"{host}:0") as address:
        assert (await scrape(address)).status_code == 200


async def test_once_it_has_ended_the_port_is_free() -> None:
    async with metrics_endpoint(Metrics("metasvc"), "127.0.0.1:0") as address:
        await scrape(address)
    async with metrics_endpoint(Metrics("metasvc"), str(address)) as again:
        assert again == address


async def test_clients_that_stand_still_or_leave_are_in_nobodys_way(capfd: pytest.CaptureFixture[str]) -> None:
    async with metrics_endpoint(Metrics("metasvc"), "127.0.0.1:0") as address:
        assert address is not None
        _, silent = await asyncio.open_connection(address.host, address.port)
        _, rude = await asyncio.open_connection(address.host, address.port)
        rude.write(b"GET /metrics HTTP/1.1\r\n")
        rude.transport.abort()

        assert (await scrape(address)).status_code == 200
        silent.close()
        await silent.wait_closed()
    assert "Traceback" not in capfd.readouterr().err


async def test_a_client_that_stands_still_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.metrics_endpoint._Handler.timeout", 0.05)
    async with metrics_endpoint(Metrics("metasvc"), "127.0.0.1:0") as address:
        assert address is not None
        reader, writer = await asyncio.open_connection(address.host, address.port)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        await writer.wait_closed()


async def test_a_taken_address_is_said_with_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MetricsListenError, match=rf"metrics_listen: .* on {address}: Address already in use"):
            async with metrics_endpoint(Metrics("metasvc"), address):
                pass


async def test_an_address_of_another_machine_is_said_with_the_setting() -> None:
    with pytest.raises(MetricsListenError, match=r"metrics_listen: .* on 192\.0\.2\.1:9411: Cannot assign"):
        async with metrics_endpoint(Metrics("metasvc"), "192.0.2.1:9411"):
            pass


@pytest.mark.parametrize(
    "value", ["9411", ":9411", "127.0.0.1", "127.0.0.1:port", "::1:9411", "unix:/run/metrics.sock"]
)
def test_what_is_no_address_is_refused_with_the_name_of_the_setting(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROADSTEAD_BLOBSVC_METRICS_LISTEN", value)
    with pytest.raises(SettingsError) as refused:
        ServiceSettings.load(None, "blobsvc")
    assert f"blobsvc.metrics_listen: {value!r} (from ROADSTEAD_BLOBSVC_METRICS_LISTEN) is refused" in str(refused.value)
    assert "allowed: HOST:PORT" in str(refused.value)


def test_nothing_is_served_unless_it_is_asked_for() -> None:
    assert ServiceSettings().metrics_listen == ""
