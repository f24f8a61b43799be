"""A service starts by its settings, or says in one line why it does not."""

import resource
from pathlib import Path

import pytest

from svckit.errors import Unavailable
from svckit.errors.start import StartError
from svckit.keys import KeyFileError
from svckit.metrics_endpoint import MetricsListenError
from svckit.process.process import ServiceProcess
from svckit.process.settings import ProcessSettings
from svckit.process.start import run_service
from svckit.rpc.address import AddressError
from svckit.rpc.listening import ListenError
from svckit.rpc.tls import TlsError
from svckit.sql.migrate import NewerDatabaseError
from svckit.tokens import ServiceToken
from svckit.trust import TrustError


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.logging.configure", lambda *_: None)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADSTEAD_BLOBSVC_KEY_FILE", str(tmp_path / "blobsvc.pem"))
    monkeypatch.setenv("ROADSTEAD_BLOBSVC_TRUST_DIR", str(tmp_path / "trust"))


def test_it_serves_by_the_settings_of_its_section(tmp_path: Path) -> None:
    config = tmp_path / "roadstead.toml"
    config.write_text('[blobsvc]\nlog_level = "error"\n')
    served: list[ServiceProcess[ProcessSettings]] = []

    async def serve(process: ServiceProcess[ProcessSettings]) -> None:
        served.append(process)

    assert run_service("blobsvc", ProcessSettings, config, serve) == 0
    assert [process.settings.log_level for process in served] == ["error"]


def test_its_key_is_published_before_it_serves(tmp_path: Path) -> None:
    async def serve(process: ServiceProcess[ProcessSettings]) -> None:
        token = process.service_tokens.current()
        assert process.verifier.verify(token, ServiceToken).service == "blobsvc"

    assert run_service("blobsvc", ProcessSettings, None, serve) == 0
    assert (tmp_path / "trust" / "blobsvc.jwks.json").is_file()


def test_what_it_opened_is_closed_in_the_opposite_order() -> None:
    closed: list[str] = []

    async def serve(process: ServiceProcess[ProcessSettings]) -> None:
        for name in ("database", "cache"):
            process.resources.callback(closed.append, name)

    assert run_service("blobsvc", ProcessSettings, None, serve) == 0
    assert closed == ["cache", "database"]


def test_it_may_open_as_many_files_as_the_system_allows() -> None:
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed: list[int] = []

    async def serve(_: ServiceProcess[ProcessSettings]) -> None:
        allowed.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    resource.setrlimit(resource.RLIMIT_NOFILE, (most // 2, most))
    try:
        assert run_service("blobsvc", ProcessSettings, None, serve) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))
    assert allowed == [most]


def test_a_channel_to_a_service_that_the_table_does_not_name_is_refused() -> None:
    async def serve(process: ServiceProcess[ProcessSettings]) -> None:
        with pytest.raises(ValueError, match="does not say that blobsvc calls metasvc"):
            process.channel("metasvc")

    assert run_service("blobsvc", ProcessSettings, None, serve) == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StartError("the reason"), 78),
        (KeyFileError("the reason"), 78),
        (TrustError("the reason"), 78),
        (AddressError("the reason"), 78),
        (TlsError("the reason"), 78),
        (NewerDatabaseError("the reason"), 78),
        # These may be over at the next attempt.
        (ListenError("the reason"), 1),
        (MetricsListenError("the reason"), 1),
        (Unavailable(message="the reason"), 1),
        (OSError("the reason"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_with_the_installation_is_one_line_and_a_status(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(_process: ServiceProcess[ProcessSettings]) -> None:
        raise error

    assert run_service("blobsvc", ProcessSettings, None, serve) == status
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("blobsvc: ")
    assert line.endswith("the reason")


def test_a_wrong_setting_is_named_and_nothing_is_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROADSTEAD_BLOBSVC_LOG_LEVEL", "loud")

    async def serve(_process: ServiceProcess[ProcessSettings]) -> None:
        raise AssertionError("it must not be called")

    assert run_service("blobsvc", ProcessSettings, None, serve) == 78
    assert "blobsvc.log_level: 'loud'" in capsys.readouterr().err


def test_what_is_wrong_with_the_program_shows_where() -> None:
    async def serve(_process: ServiceProcess[ProcessSettings]) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_service("blobsvc", ProcessSettings, None, serve)
