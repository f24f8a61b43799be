"""Reading addresses."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from svckit.rpc import RpcServerSettings, TlsSettings
from svckit.rpc.address import Address, AddressError, TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/s", UnixAddress(Path("/run/s"))),
        ("unix:///run/s", UnixAddress(Path("/run/s"))),
        ("127.0.0.1:9401", TcpAddress("127.0.0.1", 9401)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("meta.internal:65535", TcpAddress("meta.internal", 65535)),
        (f"unix:/{'x' * 106}", UnixAddress(Path(f"/{'x' * 106}"))),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "unix:s", "host", "host:", ":80", "host:x", "host:65536", "::1:80", "host:٣", f"unix:/{'x' * 107}"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


def test_the_limit_counts_bytes_and_says_so() -> None:
    with pytest.raises(AddressError, match="107 bytes at most, not 109"):
        parse_address(f"unix:/{'ö' * 54}")


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_loopback_is_told_from_the_rest(text: str, is_loopback: bool) -> None:
    address = parse_address(text)
    assert isinstance(address, TcpAddress)
    assert address.is_loopback is is_loopback


def test_an_address_reads_back() -> None:
    for text in ("unix:/run/s", "127.0.0.1:9401", "[::1]:0"):
        assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "settings",
    [
        {"listen": ()},
        {"listen": ("nowhere",)},
        {"listen": ("127.0.0.1:1",), "max_in_flight": 0},
        {"listen": ("127.0.0.1:1",), "drain_seconds": -1},
        {"listen": ("127.0.0.1:1",), "nonsense": 1},
        {"listen": ("127.0.0.1:1",), "tls": {"ca": "/ca.pem"}},
        {"listen": ("127.0.0.1:1",), "tls": {"mode": "on"}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RpcServerSettings.model_validate(settings)


def test_files_of_tls_come_together() -> None:
    TlsSettings(ca=Path("/a"), certificate=Path("/b"), key=Path("/c"))
    with pytest.raises(ValidationError, match="together"):
        TlsSettings(ca=Path("/a"), certificate=Path("/b"))
