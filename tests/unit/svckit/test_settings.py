from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from svckit.settings import ServiceSettings, SettingsError

SECRET = "hunter2-do-not-show"


class Listen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    port: Annotated[int, Field(ge=1, le=65535)] = 9402
    addresses: list[str] = []
    certificate_password: SecretStr | None = None


class MetaSettings(ServiceSettings):
    database_url: str = "sqlite://"
    database_password: SecretStr = SecretStr("")
    pepper: SecretStr | None = None
    page_size: Annotated[int, Field(gt=0, le=100)] = 10
    placement: Literal["stream", "file", "url"] = "stream"
    algorithms: tuple[str, ...] = ("sha256",)
    listen: Listen = Listen()
    read_only: bool = False

    @field_validator("database_password")
    @classmethod
    def long_enough(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if 0 < len(text) < 4:
            raise ValueError(f"{text} is too short")
        return value


class StrictSettings(ServiceSettings):
    realm: str
    key_file: Path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/bin", "PAGE_SIZE": "99", "METASVC_PAGE_SIZE": "98"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "roadstead.toml"


def problems(path: Path | None, kind: type[ServiceSettings] = MetaSettings, section: str = "metasvc") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        kind.load(path, section)
    # A cause or a context would be printed with a traceback, and holds the values.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_without_file_and_environment_there_are_defaults() -> None:
    settings = MetaSettings.load(None, "metasvc")
    assert (settings.page_size, settings.log_level, settings.listen.port) == (10, "info", 9402)


def test_a_service_reads_its_own_section_and_what_is_common(file: Path) -> None:
    file.write_text("""
        [common]
        log_level = "debug"
        log_format = "json"
        [metasvc]
        log_level = "error"
        page_size = 20
        [metasvc.listen]
        port = 1
        [blobsvc]
        anything = true
    """)
    settings = MetaSettings.load(file, "metasvc")
    assert (settings.log_level, settings.log_format, settings.page_size) == ("error", "json", 20)
    assert settings.listen == Listen(port=1)


def test_the_environment_wins_one_setting_at_a_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[metasvc]\npage_size = 20\nread_only = true\nlisten = { port = 5, addresses = ["a"] }\n')
    monkeypatch.setenv("ROADSTEAD_METASVC_PAGE_SIZE", "30")
    monkeypatch.setenv("ROADSTEAD_METASVC_LISTEN__PORT", "6")
    monkeypatch.setenv("ROADSTEAD_BLOBSVC_PAGE_SIZE", "40")
    monkeypatch.setenv("ROADSTEAD_ADMIN_PASSWORD", "x")
    settings = MetaSettings.load(file, "metasvc")
    assert (settings.page_size, settings.read_only) == (30, True)
    assert settings.listen == Listen(port=6, addresses=["a"])


@pytest.mark.parametrize("text", ["sha256,sha512", " sha256 , sha512 ,", '["sha256", "sha512"]'])
def test_lists_in_the_environment_are_json_or_separated_by_commas(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADSTEAD_METASVC_ALGORITHMS", text)
    monkeypatch.setenv("ROADSTEAD_METASVC_LISTEN__ADDRESSES", text)
    settings = MetaSettings.load(None, "metasvc")
    assert settings.algorithms == ("sha256", "sha512")
    assert settings.listen.addresses == ["sha256", "sha512"]


def test_nothing_is_read_when_settings_are_built_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADSTEAD_METASVC_PAGE_SIZE", "30")
    assert MetaSettings().page_size == 10


def test_settings_cannot_be_changed() -> None:
    settings = MetaSettings()
    with pytest.raises(ValidationError):
        settings.page_size = 5


def test_a_wrong_value_is_named_with_its_value_and_what_is_allowed(file: Path) -> None:
    file.write_text('[metasvc]\nplacement = "steam"\nlog_level = "loud"\nlisten = { port = 70000 }\npage_size = 0\n')
    assert problems(file) == [
        f"metasvc.log_level: 'loud' (from {file}) is refused: allowed: debug, info, warning, error",
        f"metasvc.page_size: 0 (from {file}) is refused: Input should be greater than 0",
        f"metasvc.placement: 'steam' (from {file}) is refused: allowed: stream, file, url",
        f"metasvc.listen.port: 70000 (from {file}) is refused: Input should be less than or equal to 65535",
    ]


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADSTEAD_METASVC_PAGE_SIZE", "many")
    monkeypatch.setenv("ROADSTEAD_METASVC_LISTEN__PORT", "x")
    why = "Input should be a valid integer, unable to parse string as an integer"
    assert problems(None) == [
        f"metasvc.page_size: 'many' (from ROADSTEAD_METASVC_PAGE_SIZE) is refused: {why}",
        f"metasvc.listen.port: 'x' (from ROADSTEAD_METASVC_LISTEN__PORT) is refused: {why}",
    ]


def test_an_item_of_a_list_is_named_by_its_place(file: Path) -> None:
    file.write_text("[metasvc]\nlisten = { addresses = ['a', 5] }\n")
    assert problems(file) == [f"metasvc.listen.addresses.1: 5 (from {file}) is refused: Input should be a valid string"]


def test_a_missing_setting_says_where_to_set_it() -> None:
    assert problems(None, StrictSettings, "gateway") == [
        "gateway.realm: is required; set it in [gateway] or as ROADSTEAD_GATEWAY_REALM",
        "gateway.key_file: is required; set it in [gateway] or as ROADSTEAD_GATEWAY_KEY_FILE",
    ]


def test_unknown_settings_are_refused_with_the_nearest_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("""
        [common]
        log_levle = "info"
        page_size = 5
        [metasvc]
        pagesize = 5
        zzz = 1
        listen = { prot = 5 }
    """)
    monkeypatch.setenv("ROADSTEAD_METASVC_PAGE_SIZ", "5")
    monkeypatch.setenv("ROADSTEAD_METASVC_LISTEN__PRT", "5")
    found = set(problems(file))
    assert found == {
        f"{file}: common.log_levle: no such setting; did you mean log_level?",
        f"{file}: common.page_size: no such setting: it belongs into [metasvc]",
        "metasvc.pagesize: no such setting; did you mean page_size?",
        "metasvc.zzz: no such setting",
        "metasvc.listen.prot: no such setting; did you mean port?",
        "ROADSTEAD_METASVC_PAGE_SIZ: no such setting; did you mean ROADSTEAD_METASVC_PAGE_SIZE?",
        "metasvc.listen.prt: no such setting; did you mean port?",
    }


def test_unknown_sections_are_refused_with_the_nearest_name(file: Path) -> None:
    file.write_text("page_size = 5\n[metsvc]\npage_size = 5\n")
    assert problems(file) == [
        f"{file}: page_size is outside of a section; put it into [metasvc] or [common]",
        f"{file}: [metsvc]: no such section; did you mean metasvc?",
    ]


def test_a_secret_is_read_and_never_shown(file: Path) -> None:
    file.write_text(f'[metasvc]\ndatabase_password = "{SECRET}"\n')
    settings = MetaSettings.load(file, "metasvc")
    assert settings.database_password.get_secret_value() == SECRET
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        f"database_password = ['{SECRET}']",
        f"pepper = {{ a = '{SECRET}' }}",
        f"pepper = ['{SECRET}']",
        f"listen = {{ certificate_password = ['{SECRET}'] }}",
        f"listen = ['{SECRET}']",
        f"listen = '{SECRET}'",
    ],
)
def test_a_wrong_secret_is_refused_without_being_shown(file: Path, text: str) -> None:
    file.write_text(f"[metasvc]\n{text}\n")
    [problem] = problems(file)
    assert SECRET not in problem
    assert "hidden" in problem


def test_a_validator_that_quotes_a_secret_does_not_give_it_away(file: Path) -> None:
    file.write_text('[metasvc]\ndatabase_password = "xyz"\n')
    [problem] = problems(file)
    assert "xyz" not in problem
    assert "metasvc.database_password" in problem


def test_a_secret_in_a_variable_that_does_not_parse_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADSTEAD_METASVC_LISTEN", '{"certificate_password": "' + SECRET)
    [problem] = problems(None)
    assert SECRET not in problem
    assert "listen" in problem
    assert "JSON" in problem


def test_a_password_in_a_url_is_not_shown(file: Path) -> None:
    file.write_text(f'[metasvc]\nplacement = "postgresql://road:{SECRET}@db/meta"\n')
    [problem] = problems(file)
    assert SECRET not in problem
    assert "postgresql://road:" in problem


def test_a_value_that_is_very_long_is_cut(file: Path) -> None:
    file.write_text(f'[metasvc]\nplacement = "{"x" * 10_000}"\n')
    [problem] = problems(file)
    assert len(problem) < 300


@pytest.mark.parametrize(("content", "text"), [("[metasvc\n", "is not valid TOML"), ("\xff", "is not valid TOML")])
def test_a_file_that_is_no_toml_is_named(file: Path, content: str, text: str) -> None:
    file.write_bytes(content.encode("latin-1"))
    [problem] = problems(file)
    assert str(file) in problem
    assert text in problem


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    assert problems(file) == [f"cannot read {file}: No such file or directory"]
