"""A project's settings, by Harbor's names (its `ProjectMetadata`). Values are texts, as Harbor's clients send them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

from svckit.errors import FieldViolation, Invalid

PUBLIC = "public"
"""Whether anybody may pull. Stored in a column of its own, because access checks depend on it."""

_MAXIMUM_PATTERN_CHARACTERS = 1024


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    def explain(value: str) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}"

    return explain


def _number(minimum: int) -> Callable[[str], str | None]:
    def explain(value: str) -> str | None:
        digits = value.removeprefix("-")
        # The length is checked first, because int() of a very long text is slow.
        if len(value) <= 18 and digits.isascii() and digits.isdigit() and int(value) >= minimum:
            return None
        return f"must be a whole number, {minimum} or more"

    return explain


def _pattern(value: str) -> str | None:
    if len(value) <= _MAXIMUM_PATTERN_CHARACTERS and (not value or value.isprintable()):
        return None
    return f"must have at most {_MAXIMUM_PATTERN_CHARACTERS} characters, all of them printable"


_boolean = _one_of("true", "false")

SETTINGS: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {
        PUBLIC: _boolean,
        "enable_content_trust": _boolean,
        "enable_content_trust_cosign": _boolean,
        "prevent_vul": _boolean,
        "severity": _one_of("none", "low", "medium", "high", "critical"),
        "auto_scan": _boolean,
        "auto_sbom_generation": _boolean,
        "reuse_sys_cve_allowlist": _boolean,
        "retention_id": _number(0),
        "proxy_speed_kb": _number(-1),
        "max_upstream_conn": _number(-1),
        "proxy_cache_local_on_not_found": _boolean,
        "proxy_referrer_api": _boolean,
        "proxy_cache_filter_pattern": _pattern,
        "proxy_cache_filter_kind": _one_of("doublestar", "regex"),
    }
)
"""The settings that a project may have, each with the function that says what is wrong with a value, or gives None."""

# The id of the project's retention policy, which is set when the policy is created. Clients send it back as they have
# read it. It is accepted and ignored, as in Harbor.
_NOT_FOR_CALLERS = frozenset({"retention_id"})


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
    for name, value in settings.items():
        explain = SETTINGS.get(name)
        if explain is None:
            _refuse(name, "is not a setting of a project")
        wrong = explain(value)
        if wrong is not None:
            _refuse(name, wrong)
    stated = settings.get(PUBLIC)
    if stated is not None:
        if public is not None and public != (stated == "true"):
            _refuse(PUBLIC, "is given twice, with different values")
        public = stated == "true"
    kept = {name: value for name, value in settings.items() if name != PUBLIC and name not in _NOT_FOR_CALLERS}
    return kept, public


def _refuse(name: str, description: str) -> NoReturn:
    shown = ascii(name[:64])
    raise Invalid(
        message=f"metadata {shown} {description}", violations=[FieldViolation("metadata", f"{shown} {description}")]
    )
