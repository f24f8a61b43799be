from pathlib import Path

import pytest
from pydantic import SecretStr

from authsvc.config import AuthSettings
from svckit.settings import SettingsError


@pytest.fixture(autouse=True)
def no_password_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROADSTEAD_ADMIN_PASSWORD", raising=False)


def test_the_first_password_is_the_setting_then_the_variable_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("from-file \n")
    assert AuthSettings().first_admin_password() is None
    settings = AuthSettings(initial_admin_password_file=file)
    assert settings.first_admin_password() == "from-file "
    monkeypatch.setenv("ROADSTEAD_ADMIN_PASSWORD", "from-variable")
    assert settings.first_admin_password() == "from-variable"
    given = AuthSettings(admin_password=SecretStr("from-setting"), initial_admin_password_file=file)
    assert given.first_admin_password() == "from-setting"
    assert "from-setting" not in repr(given)


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = AuthSettings(initial_admin_password_file=tmp_path / "missing")
    with pytest.raises(SettingsError, match="initial_admin_password_file"):
        settings.first_admin_password()


def test_calls_in_flight_stay_below_the_connections_of_postgresql() -> None:
    sqlite = AuthSettings()
    assert sqlite.server_settings() == sqlite.rpc
    postgresql = AuthSettings(database_url=SecretStr("postgresql://u@h/d"), database_pool_size=10)
    assert postgresql.server_settings().max_in_flight == 8


@pytest.mark.parametrize("prefix", ["", "ro bot", "a+b", "a:b", "a/b"])
def test_a_prefix_that_could_not_be_told_apart_is_refused(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADSTEAD_AUTHSVC_CONFIGURATION__ROBOT_NAME_PREFIX", prefix)
    with pytest.raises(SettingsError, match="robot_name_prefix"):
        AuthSettings.load(None, "authsvc")
