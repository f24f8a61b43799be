"""A service starts by its settings, or says in one line why it does not."""

from pathlib import Path

import pytest

from svckit.errors import Unavailable
from svckit.errors.start import StartError
from svckit.keys import KeyFileError
from svckit.metrics_endpoint import MetricsListenError
from svckit.rpc.address import AddressError
from svckit.rpc.listening import ListenError
from svckit.rpc.tls import TlsError
from svckit.settings import ServiceSettings
from svckit.sql.migrate import NewerDatabaseError
from svckit.start import run_service
from svckit.trust import TrustError


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.logging.configure", lambda *_: None)


def test_it_serves_by_the_settings_of_its_section(tmp_path: Path) -> None:
    config = tmp_path / "roadstead.toml"
    config.write_text('[blobsvc]\nlog_level = "error"\n')
    served: list[ServiceSettings] = []

    async def serve(settings: ServiceSettings) -> None:
        served.append(settings)

    assert run_service("blobsvc", ServiceSettings, config, serve) == 0
    assert [settings.log_level for settings in served] == ["error"]


@pytest.mark.parametrize(
    "error",
    [
        StartError("the reason"),
        KeyFileError("the reason"),
        TrustError("the reason"),
        ListenError("the reason"),
        MetricsListenError("the reason"),
        AddressError("the reason"),
        TlsError("the reason"),
        NewerDatabaseError("the reason"),
        Unavailable(message="the reason"),
        OSError("the reason"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_wrong_with_the_installation_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    async def serve(_settings: ServiceSettings) -> None:
        raise error

    assert run_service("blobsvc", ServiceSettings, None, serve) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("blobsvc: ")
    assert line.endswith("the reason")


def test_a_wrong_setting_is_named_and_nothing_is_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROADSTEAD_BLOBSVC_LOG_LEVEL", "loud")

    async def serve(_settings: ServiceSettings) -> None:
        raise AssertionError("it must not be called")

    assert run_service("blobsvc", ServiceSettings, None, serve) == 1
    assert "blobsvc.log_level: 'loud'" in capsys.readouterr().err


def test_what_is_wrong_with_the_program_shows_where() -> None:
    async def serve(_settings: ServiceSettings) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_service("blobsvc", ServiceSettings, None, serve)
