"""A project's settings, by Harbor's names (its `ProjectMetadata`). Values are texts, as Harbor's clients send them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

from svckit.errors import FieldViolation, Invalid, Precondition

PUBLIC = "public"
"""Whether anybody may pull. Stored in a column of its own, because access checks depend on it."""

_MAXIMUM_PATTERN_CHARACTERS = 1024


# What Harbor reads as true and false (Go's ParseBool).
_FLAG_WORDS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), "true")
    | dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), "false")
)


def _flag(value: str) -> str:
    stored = _FLAG_WORDS.get(value)
    if stored is None:
        raise ValueError("must be true or false")
    return stored


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        stored = value.lower()
        if stored not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return stored

    return read


def _number(minimum: int) -> Callable[[str], str]:
    def read(value: str) -> str:
        digits = value.removeprefix("-")
        # The length is checked first, because int() of a very long text is slow.
        if not (len(value) <= 18 and digits.isascii() and digits.isdigit() and int(value) >= minimum):
            raise ValueError(f"must be a whole number, {minimum} or more")
        return value

    return read


def _pattern(value: str) -> str:
    if len(value) > _MAXIMUM_PATTERN_CHARACTERS or (value and not value.isprintable()):
        raise ValueError(f"must have at most {_MAXIMUM_PATTERN_CHARACTERS} characters, all of them printable")
    return value


SETTINGS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        PUBLIC: _flag,
        "enable_content_trust": _flag,
        "enable_content_trust_cosign": _flag,
        "prevent_vul": _flag,
        "severity": _one_of("none", "low", "medium", "high", "critical"),
        "auto_scan": _flag,
        "auto_sbom_generation": _flag,
        "reuse_sys_cve_allowlist": _flag,
        "proxy_speed_kb": _number(-1),
        "max_upstream_conn": _number(-1),
        "proxy_cache_local_on_not_found": _flag,
        "proxy_referrer_api": _flag,
        "proxy_cache_filter_pattern": _pattern,
        "proxy_cache_filter_kind": _one_of("doublestar", "regex"),
    }
)
"""The settings that a project may have, each with the function that gives a value the form in which it is stored.

The function raises ValueError, which says what is wrong with the value.
"""

# The id of the project's retention policy, which is set when the policy is created. There are no such policies yet.
_RETENTION_ID = "retention_id"

# Nothing enforces these yet. If they could be switched on, people would rely on them.
_PROTECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "prevent_vul": "there is no scanner that finds vulnerabilities",
        "auto_scan": "there is no scanner that finds vulnerabilities",
        "auto_sbom_generation": "there is no scanner that makes SBOMs",
        "enable_content_trust": "nothing verifies signatures of Notary",
        "enable_content_trust_cosign": "nothing verifies signatures of cosign",
    }
)


def check_protections(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Refuses to switch on what nothing enforces. What is on already may be sent back.

    Raises:
        DomainError: PRECONDITION, which says what is missing.
    """
    for name, missing in _PROTECTIONS.items():
        if after.get(name) == "true" and before.get(name) != "true":
            raise Precondition(
                message=f"{name} cannot be switched on: {missing}",
                violations=[FieldViolation(f"metadata.{name}", f"cannot be true: {missing}")],
            )


def parse_settings(settings: Mapping[str, str], public: bool | None) -> tuple[dict[str, str], bool | None]:
    """Checks settings by their rules.

    Args:
        settings: the settings in the request.
        public: the request's own field "public", which means the same as the setting "public"; None if absent.

    Returns:
        The settings to store, without "public", and whether the project is public; None if the request does not say.

    Raises:
        DomainError: BAD_REQUEST; an unknown setting, a value that breaks its rule, or two different values of "public".
    """
    if settings.get(_RETENTION_ID):
        _refuse(_RETENTION_ID, "should be omitted: the project has no retention policy of that id")
    kept: dict[str, str] = {}
    for name, value in settings.items():
        if name == _RETENTION_ID:
            continue
        read = SETTINGS.get(name)
        if read is None:
            _refuse(name, "is not a setting of a project")
        try:
            kept[name] = read(value)
        except ValueError as error:
            _refuse(name, str(error))
    stated = kept.pop(PUBLIC, None)
    if stated is not None:
        if public is not None and public != (stated == "true"):
            _refuse(PUBLIC, "is given twice, with different values")
        public = stated == "true"
    return kept, public


def _refuse(name: str, description: str) -> NoReturn:
    shown = ascii(name[:64])
    raise Invalid(
        message=f"metadata {shown} {description}", violations=[FieldViolation("metadata", f"{shown} {description}")]
    )
