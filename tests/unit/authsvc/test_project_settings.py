import pytest

from authsvc.domain.project_metadata import parse_one
from authsvc.domain.project_settings import parse_settings
from svckit.errors import Invalid


def test_settings_are_kept_but_for_what_is_said_elsewhere() -> None:
    settings = {
        "public": "true",
        "severity": "critical",
        "auto_scan": "false",
        "proxy_speed_kb": "-1",
        "proxy_cache_filter_pattern": "",
        "proxy_cache_filter_kind": "regex",
        "retention_id": "",
    }
    kept, public = parse_settings(settings, None)
    assert public is True
    assert kept == {name: value for name, value in settings.items() if name not in ("public", "retention_id")}


@pytest.mark.parametrize(
    "value, stored",
    [("1", "true"), ("t", "true"), ("TRUE", "true"), ("0", "false"), ("F", "false"), ("False", "false")],
)
def test_a_flag_is_taken_in_every_form_that_harbor_takes_and_stored_in_one(value: str, stored: str) -> None:
    assert parse_settings({"public": value, "reuse_sys_cve_allowlist": value, "severity": "High"}, None) == (
        {"reuse_sys_cve_allowlist": stored, "severity": "high"},
        stored == "true",
    )
    assert parse_one({"prevent_vul": value}) == ("prevent_vul", stored)


def test_whether_a_project_is_public_is_said_once_or_twice_alike() -> None:
    assert parse_settings({}, None) == ({}, None)
    assert parse_settings({}, public=False) == ({}, False)
    assert parse_settings({"public": "false"}, public=False) == ({}, False)
    with pytest.raises(Invalid):
        parse_settings({"public": "true"}, public=False)


@pytest.mark.parametrize(
    "name, value",
    [
        ("colour", "red"),
        ("Public", "true"),
        ("public", "yes"),
        ("public", ""),
        ("auto_scan", "tRuE"),
        ("severity", "awful"),
        ("retention_id", "x"),
        ("retention_id", "12"),
        ("proxy_speed_kb", "-2"),
        ("proxy_speed_kb", "9" * 30),
        ("max_upstream_conn", "٣"),
        ("proxy_cache_filter_pattern", "a" * 1025),
        ("proxy_cache_filter_kind", "glob"),
    ],
)
def test_an_unknown_name_or_value_is_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_settings({name: value}, None)
    assert caught.value.violations[0].field == "metadata"
