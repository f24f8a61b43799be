"""Addresses are read, bound and refused in clear words."""

import socket

import pytest

from ctl.errors import CommandError
from ctl.listen import Address, bind_http, grpc_addresses, metrics_addresses
from tests.harness.ports import free_ports_in_a_row


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:8080", "::1", 8080),
    ],
)
def test_an_address_reads_and_writes_the_same(text: str, host: str, port: int) -> None:
    address = Address.parse(text)

    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "::1:8080", "host:", "host:http", "host:65536", "host:-1", "host:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT|is not a port"):
        Address.parse(text)


def test_port_0_gets_a_port_that_listens() -> None:
    listener, address = bind_http(Address("127.0.0.1", 0))
    with listener:
        assert address.port > 0
        socket.create_connection((address.host, address.port), timeout=5).close()


def test_a_taken_port_is_said_with_the_way_out() -> None:
    listener, address = bind_http(Address("127.0.0.1", 0))
    with (
        listener,
        pytest.raises(CommandError, match=f"HTTP on {address}: the port is taken by another program.*--http HOST:PORT"),
    ):
        bind_http(address)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CommandError, match=r"cannot serve HTTP on 192\.0\.2\.1:8080: Cannot assign"):
        bind_http(Address("192.0.2.1", 8080))


def test_a_name_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(CommandError, match=r"cannot serve HTTP on nowhere\.invalid:8080"):
        bind_http(Address("nowhere.invalid", 8080))


def test_port_0_means_no_addresses() -> None:
    assert grpc_addresses(0) == {}
    assert metrics_addresses(0, ["gateway"], {}) == {}


def test_a_taken_grpc_port_is_named_with_its_service() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"authsvc on 127.0.0.1:{port}: the port is taken.*--grpc-port N"):
            grpc_addresses(port)


def test_a_taken_metrics_port_is_named_with_its_process() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"metrics of authsvc on 127.0.0.1:{port}: .* taken.*--metrics-port N"):
            metrics_addresses(port, ["gateway"], {})


def test_metrics_are_not_served_where_grpc_is() -> None:
    first_port = free_ports_in_a_row(9)
    grpc = grpc_addresses(first_port)

    assert metrics_addresses(first_port + 4, ["gateway"], grpc)["authsvc"] == f"127.0.0.1:{first_port + 4}"
    with pytest.raises(CommandError, match=f"authsvc on 127.0.0.1:{first_port + 3}: gRPC .*--metrics-port N or"):
        metrics_addresses(first_port + 3, ["gateway"], grpc)
