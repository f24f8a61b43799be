"""Settings: one frozen, typed object for each service, read once at the start from a TOML file and the environment.

The file has a section for each service, and a section `[common]` for the settings of `ServiceSettings`, which every
service has. An environment variable `ROADSTEAD_<SECTION>_<SETTING>` overrides the file
(`ROADSTEAD_METASVC_DATABASE_URL`, `ROADSTEAD_COMMON_TOKEN_SERVICE`). `__` separates the name of a nested setting
(`ROADSTEAD_METASVC_RPC__MAX_IN_FLIGHT`). Lists are JSON or separated by commas.
"""

import difflib
import json
import os
import tomllib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, Field, SecretBytes, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError

from svckit.errors.start import StartError
from svckit.metrics_endpoint import parse_metrics_address
from svckit.redaction import scrub
from svckit.rpc.settings import RpcAddress
from svckit.rpc.tls import TlsSettings
from svckit.services import NAMES, RPC_SERVICES
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE

_COMMON = "common"
_DEFAULT_ADDRESSES: Mapping[str, str] = {name: service.default_address for name, service in RPC_SERVICES.items()}
_MEBIBYTE = 1024 * 1024
_NESTED = "__"
_MAXIMUM_SHOWN_CHARACTERS = 80


class SettingsError(StartError):
    """Settings are wrong, so the service cannot start. The text names each one, its value, and the allowed values.

    Attributes:
        problems: one line for each problem.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        """Takes one line for each problem."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class ServiceSettings(BaseSettings):
    """The settings that every service has, and those that must be the same in all services. Each service adds its own.

    The constructor (`MetaSettings(database_url=…)`, for tests) reads neither the file nor the environment; `load` does.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        # A value may be a secret that was put in a wrong place. `load` shows the values that are not secret.
        hide_input_in_errors=True,
        env_nested_delimiter=_NESTED,
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """"auto": console on a terminal, otherwise JSON."""
    trust_dir: Path = Path("/var/lib/roadstead/trust")
    """The folder of the trust bundle: one JWKS file for each service."""
    metrics_listen: str = ""
    """The address at which Prometheus reads the metrics of this process: `HOST:PORT`, such as `127.0.0.1:9411`. Empty:
    no endpoint. Anybody who can reach it may read them. Each process needs its own. (The gateway also has /metrics.)"""
    addresses: Mapping[str, RpcAddress] = _DEFAULT_ADDRESSES
    """The address of each service for its callers: `unix:/path` or `HOST:PORT`."""
    rpc_tls: TlsSettings = TlsSettings()
    """TLS for calls to services on TCP. `<service>.rpc.tls` is for the server's side."""
    token_service: Annotated[str, Field(min_length=1, max_length=255)] = DEFAULT_REGISTRY_AUDIENCE
    """The name of the token service. It is the audience of registry tokens, and clients see it in the challenge."""
    manifest_max_bytes: Annotated[int, Field(ge=4 * _MEBIBYTE, le=15 * _MEBIBYTE)] = 4 * _MEBIBYTE
    """The largest manifest. The distribution spec demands 4 MiB; a message between services can have 16 MiB."""

    @field_validator("metrics_listen")
    @classmethod
    def _check_metrics_listen(cls, value: str) -> str:
        if value:
            parse_metrics_address(value)
        return value

    @field_validator("addresses", mode="before")
    @classmethod
    def _complete_addresses(cls, value: object) -> object:
        """Adds the default addresses of the other services, so that one address can be changed alone."""
        if not isinstance(value, Mapping):
            return value
        for name in value:
            if name not in RPC_SERVICES:
                raise ValueError(f"no service is called {name!r}{_nearest(str(name), list(RPC_SERVICES))}")
        return {**_DEFAULT_ADDRESSES, **value}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic passes these by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Uses only the arguments. With pydantic's defaults, a setting `home` would be read from the variable HOME."""
        return (init_settings,)

    @classmethod
    def load(cls, path: Path | None, section: str) -> Self:
        """Reads the settings of one service.

        Args:
            path: the path of the TOML file; None for none.
            section: the service's name. It is the section of the file and a part of the names of variables.

        Raises:
            SettingsError: the file cannot be read, or a setting is wrong, missing or unknown.
        """
        from_file, problems = _read_file(path, section, cls) if path is not None else ({}, [])
        from_common, common_problems = _read_environment(_COMMON, ServiceSettings)
        from_own, own_problems = _read_environment(section, cls)
        problems += [*common_problems, *own_problems]
        environments = {section: from_own, _COMMON: from_common}
        try:
            settings = cls(**_merged(from_file, _merged(from_common, from_own)))
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=True)
            problems += [_explain(cls, section, path, environments, detail) for detail in details]
            settings = None
        if settings is None or problems:
            # `from None`, here and below: the cause would print the hidden values.
            raise SettingsError(list(dict.fromkeys(problems))) from None
        return settings


class _Environment(EnvSettingsSource):
    """The variables of one section."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        # Lists may be written with commas, which is easier. JSON is possible as well, and required for nested values.
        if isinstance(value, str) and not value.lstrip().startswith(("[", "{")) and _is_list(field.annotation):
            return [item.strip() for item in value.split(",") if item.strip()]
        return json.loads(value)


def _read_environment(section: str, cls: type[BaseSettings]) -> tuple[dict[str, Any], list[str]]:
    prefix = f"ROADSTEAD_{section.upper()}_"
    known = [f"{prefix}{name.upper()}" for name in cls.model_fields]
    problems = [
        f"{name}: no such setting{_nearest(name.upper(), known)}"
        for name in sorted(os.environ)
        if name.upper().startswith(prefix)
        and not any(name.upper() == other or name.upper().startswith(other + _NESTED) for other in known)
    ]
    try:
        values = _Environment(cls, env_prefix=prefix, env_nested_delimiter=_NESTED, case_sensitive=False)()
    except SourceError as error:
        return {}, [*problems, f"{prefix}…: {_without_values(error)}"]
    return values, problems


def _without_values(error: SourceError) -> str:
    # The text names the field. The cause is dropped, because it contains the value.
    return str(error).split("\n", 1)[0] + " (lists are separated by commas, other structures are JSON)"


def _read_file(path: Path, section: str, cls: type[BaseSettings]) -> tuple[dict[str, Any], list[str]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"cannot read {path}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} is not valid TOML: {error}"]) from None
    sections = sorted({_COMMON, *NAMES, section})
    problems = []
    for name, content in document.items():
        if not isinstance(content, dict):
            problems.append(f"{path}: {name} is outside of a section; put it into [{section}] or [{_COMMON}]")
        elif name not in sections:
            problems.append(f"{path}: [{name}]: no such section{_nearest(name, sections)}")
    common, own = document.get(_COMMON), document.get(section)
    common = common if isinstance(common, dict) else {}
    own = own if isinstance(own, dict) else {}
    shared = list(ServiceSettings.model_fields)
    for name in [name for name in common if name not in shared]:
        hint = f": it belongs into [{section}]" if name in cls.model_fields else _nearest(name, shared)
        problems.append(f"{path}: {_COMMON}.{name}: no such setting{hint}")
        common = {key: value for key, value in common.items() if key != name}
    return _merged(common, own), problems


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explain(
    cls: type[BaseModel],
    section: str,
    path: Path | None,
    environments: Mapping[str, Mapping[str, Any]],
    detail: ErrorDetails,
) -> str:
    """One line about a wrong setting: its place, its value, what is wrong, and what is allowed.

    Args:
        cls: the settings class.
        section: the section of the service.
        path: the path of the file.
        environments: the values from variables, by section. The first section with a value was used.
        detail: pydantic's error.
    """
    location = detail["loc"]
    name = ".".join([section, *(str(part) for part in location)])
    parent, annotation = _walk(cls, location)
    if detail["type"] == "extra_forbidden":
        siblings = list(parent.model_fields) if parent is not None else []
        return f"{name}: no such setting{_nearest(str(location[-1]), siblings)}"
    if detail["type"] == "missing":
        return f"{name}: is required; set it in [{section}] or as {_variable(section, location)}"
    in_file = str(path) if path else "default"
    held = (_variable(name, location) for name, values in environments.items() if _holds(values, location))
    place = next(held, in_file)
    message = _allowed(annotation) or detail["msg"].removeprefix("Value error, ")
    if _holds_secret(cls, location):
        # Roadstead's own validators may quote the value in their texts; pydantic's texts do not.
        reason = "" if detail["type"] in ("value_error", "assertion_error") else f": {message}"
        return f"{name}: the value (hidden, from {place}) is refused{reason}"
    return f"{name}: {_shown(detail['input'])} (from {place}) is refused: {message}"


def _walk(cls: type[BaseModel], location: Sequence[int | str]) -> tuple[type[BaseModel] | None, Any]:
    """The model with the setting at a location, and the setting's type."""
    parent: type[BaseModel] | None = cls
    annotation: Any = cls
    for part in location:
        model = _model_in(annotation)
        if model is not None:
            parent = model
            field = model.model_fields.get(str(part))
            annotation = field.annotation if field is not None else None
        else:
            annotation = next(iter(get_args(annotation)), None)
    return parent, annotation


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _holds_secret(cls: type[BaseModel], location: Sequence[int | str]) -> bool:
    """Whether the setting at a location is a secret, is a part of one, or contains one."""
    annotations = [_walk(cls, location[: end + 1])[1] for end in range(len(location))]
    return any(_is_secret(annotation, inside=False) for annotation in annotations) or any(
        _is_secret(annotation, inside=True) for annotation in annotations[-1:]
    )


def _is_secret(annotation: Any, *, inside: bool) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values() if inside else ()
        return any(_is_secret(field.annotation, inside=True) for field in fields)
    return any(_is_secret(argument, inside=inside) for argument in get_args(annotation))


def _is_list(annotation: Any) -> bool:
    candidates = (annotation, *get_args(annotation))
    return any(
        candidate in (list, tuple, set, frozenset, Sequence)
        or get_origin(candidate) in (list, tuple, set, frozenset, Sequence)
        for candidate in candidates
    )


def _allowed(annotation: Any) -> str | None:
    for candidate in (annotation, *get_args(annotation)):
        if get_origin(candidate) is Literal:
            return "allowed: " + ", ".join(str(value) for value in typing.get_args(candidate))
    return None


def _holds(values: Mapping[str, Any], location: Sequence[int | str]) -> bool:
    here: Any = values
    for part in location:
        if isinstance(here, Mapping) and part in here:
            here = here[part]
        else:
            # An item of a list has the same source as the list.
            return isinstance(part, int) and isinstance(here, Sequence)
    return True


def _variable(section: str, location: Iterable[int | str]) -> str:
    names = [str(part).upper() for part in location if isinstance(part, str)]
    return f"ROADSTEAD_{section.upper()}_{_NESTED.join(names)}"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    text = scrub(repr(value))
    return text if len(text) <= _MAXIMUM_SHOWN_CHARACTERS else text[: _MAXIMUM_SHOWN_CHARACTERS - 1] + "…"
