"""`roadstead admin configuration`. The installations are shared, so only the banner changes for good."""

import secrets

import pytest

from tests.harness.admin_cli import Admin

KEYS = {
    "auth_mode",
    "self_registration",
    "project_creation_restriction",
    "read_only",
    "robot_name_prefix",
    "robot_token_duration",
    "storage_per_project",
    "quota_per_project_enable",
    "token_expiration",
    "session_timeout",
    "banner_message",
    "pull_time_update_disable",
    "pull_count_update_disable",
    "scanner_skip_update_pulltime",
}


def test_values_are_read_and_set(admin: Admin) -> None:
    before = admin.json("configuration", "list")
    # Keys may be added.
    assert set(before) >= KEYS
    assert all(set(entry) == {"value", "editable"} for entry in before.values())
    banner = f"Maintenance {secrets.token_hex(4)}"
    changed = admin.json(
        *("configuration", "set", f"banner_message={banner}", "session_timeout=61", "self_registration=no"),
        "storage_per_project=unlimited",
    )
    assert changed == {
        "banner_message": {"value": banner, "editable": True},
        "session_timeout": {"value": 61, "editable": True},
        "self_registration": {"value": False, "editable": True},
        "storage_per_project": {"value": -1, "editable": True},
    }
    got = admin.json("configuration", "get", "banner_message")
    assert got == {"key": "banner_message", "value": banner, "editable": True}
    assert ["self_registration", "false", "yes"] in admin.table("configuration", "list")
    admin.run("configuration", "set", "session_timeout=60", "banner_message=")
    assert admin.json("configuration", "get", "banner_message")["value"] == ""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("get", "banner_mesage"), 1, "there is no key banner_mesage; did you mean banner_message?"),
        (("get", "x"), 1, "there is no key x; `roadstead admin configuration list` shows all"),
        (("set", "banner_mesage=x"), 1, "did you mean banner_message?"),
        (("set", "read_only"), 2, "'read_only' is not KEY=VALUE"),
        (("set", "read_only=perhaps"), 2, "read_only is true or false, and not 'perhaps'"),
        (("set", "token_expiration=soon"), 2, "token_expiration: 'soon' is not a number"),
        (("set", "storage_per_project=much"), 2, "storage_per_project: 'much' is not a size such as 10GiB"),
        (("set", "token_expiration=0", "banner_message=never"), 1, "400 BAD_REQUEST"),
        (("set",), 2, "the following arguments are required: KEY=VALUE"),
    ],
)
def test_wrong_use_says_what_to_do(local: Admin, arguments: tuple[str, ...], status: int, said: str) -> None:
    assert said in local.refused("configuration", *arguments, status=status)
    assert local.json("configuration", "get", "banner_message")["value"] != "never"
