"""What goes round the redaction is what it would leave as it is."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svckit.redaction import needs_redaction, redact, scrub

_JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyOjcifQ.c2lnbmF0dXJl"
_PIECES = st.sampled_from(
    [
        _JWT,
        "Authorization: ",
        "Basic YWRtaW46SGFyYm9y",
        "bearer ",
        "abcdefghijklmnopqrst",
        "a://b:c@d",
        "rsr_abcdefghijklmnopqrst",
        "?token=",
        "BASIC ",
        " ",
        '"',
        "\\",
    ]
)
_TEXTS = st.lists(_PIECES | st.text("aB= :/é\n", max_size=8), max_size=4).map("".join)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 2**40),
    st.floats(0, 1),
    _TEXTS,
    st.lists(_TEXTS, max_size=2),
    st.binary(max_size=4),
)
_KEYS = st.sampled_from(["event", "path", "subject", "status", "token", "new_password", "grant", "grants", "x-secret"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_an_event_that_needs_no_redaction_is_not_changed_by_it(event: dict[str, Any]) -> None:
    rendered = json.dumps(event, default=repr, ensure_ascii=True).encode()
    if not needs_redaction(event, rendered):
        assert redact(None, "info", dict(event)) == event


@pytest.mark.parametrize(
    "event",
    [
        {"path": f"/v2/?_state={_JWT}"},
        {"error": "BASIC YWRtaW46SGFyYm9y"},
        {"token": "s3cr3t"},
        {"error": "no rsr_dGhpcyBpcyBhIHRlc3QgdG9rZW4 here"},
        {"form": "grant_type=refresh_token&refresh_token=s3cr3t"},
        {"nested": {"password": "s3cr3t"}},
        {"raw": b"s3cr3t"},
    ],
)
def test_an_event_with_a_secret_needs_it(event: dict[str, Any]) -> None:
    assert needs_redaction(event, json.dumps(event, default=repr).encode())


def test_a_refresh_token_is_removed_from_texts_by_its_form_and_by_its_name() -> None:
    token = "rsr_dGhpcyBpcyBhIHRlc3QgdG9rZW4"
    assert scrub(f"refused: {token}, again") == "refused: [redacted], again"
    assert scrub("refresh_token=s3cr3t&scope=x") == "refresh_token=[redacted]&scope=x"


def test_the_line_of_a_request_needs_none() -> None:
    event = {
        "event": "request",
        "path": "/v2/library/app/manifests/v1",
        "status": 200,
        "milliseconds": 1.5,
        "ok": True,
        "x": None,
    }
    assert not needs_redaction(event, json.dumps(event).encode())
