"""metasvc's settings."""

from pathlib import Path

import pytest

from metasvc.config import MetaSettings
from svckit.settings import SettingsError


def load(tmp_path: Path, text: str) -> MetaSettings:
    path = tmp_path / "roadstead.toml"
    path.write_text(text)
    return MetaSettings.load(path, "metasvc")


def test_everything_has_a_default(tmp_path: Path) -> None:
    settings = load(tmp_path, "")

    assert not settings.is_postgresql
    assert settings.manifest_max_bytes == 4 * 1024 * 1024
    assert settings.server_settings() == settings.rpc


def test_no_more_calls_are_served_than_there_are_connections_to_postgresql(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[metasvc]\ndatabase_url = "postgresql://me:secret@db/meta"\ndatabase_pool_size = 20\n',
    )

    assert settings.server_settings().max_in_flight == 18
    assert "secret" not in repr(settings)


def test_a_manifest_limit_below_what_the_spec_wants_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"metasvc\.manifest_max_bytes: 1000 .* is refused"):
        load(tmp_path, "[metasvc]\nmanifest_max_bytes = 1000\n")


def test_a_password_is_not_shown_when_the_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, '[metasvc]\ndatabase_url = ["postgresql://me:secret@db/meta"]\n')

    assert "secret" not in str(caught.value)
