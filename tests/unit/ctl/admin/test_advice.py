"""What a refusal of the API means is said, and what to do."""

import json

import httpx
import pytest

from ctl.admin.advice import refusal, unreachable
from ctl.admin.target import Target

TARGET = Target(
    name="https://registry.example.com",
    url="https://registry.example.com",
    user="alice",
    password="Secret-Passw0rd",
    wrong_password="look at the file",
)
HARBOR = json.dumps({"errors": [{"code": "CODE", "message": "no"}]}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (400, {}, "no (400 CODE); mend what it names"),
        (
            401,
            {},
            "no (401 CODE); https://registry.example.com does not accept the password of alice; look at the file",
        ),
        (403, {}, "no (403 CODE); alice may not do this at https://registry.example.com, or nobody may at present"),
        (404, {}, "no (404 CODE); the `list` of the noun shows what is there, as far as the user may see it"),
        (
            409,
            {},
            "no (409 CODE); look with `show` or `list`; if another change came in between, repeat the command",
        ),
        (
            412,
            {},
            "no (412 CODE); mend what it names; if somebody else has just changed the same, repeat the command",
        ),
        (429, {"Retry-After": "7"}, "no (429 CODE); there are too many requests; wait 7 s, and repeat the command"),
        (
            503,
            {"Retry-After": "3"},
            f"no (503 CODE); something is away, and {TARGET.url}/readyz says what; wait 3 s, and repeat the command",
        ),
        (507, {}, "no (507 CODE); make room on the disk of the server"),
        (
            500,
            {"X-Request-Id": "abc"},
            "no (500 CODE); the logs of the server have more under the request id abc",
        ),
    ],
)
def test_each_status_says_what_to_do(status: int, headers: dict[str, str], said: str) -> None:
    assert refusal(httpx.Response(status, headers=headers, content=HARBOR), TARGET) == said


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"errors": []}', b'{"errors": [7]}', b"\xff"])
def test_another_server_is_not_taken_for_harbor(content: bytes) -> None:
    assert refusal(httpx.Response(404, content=content), TARGET) == (
        "Not Found (404); https://registry.example.com answers, but not as Harbor's API does; "
        "is the URL that of the gateway?"
    )


def test_a_redirect_is_not_followed_with_the_password() -> None:
    answer = httpx.Response(308, headers={"Location": "https://elsewhere.example.com/"})
    assert refusal(answer, TARGET) == (
        "Permanent Redirect (308); https://registry.example.com leads to https://elsewhere.example.com/; "
        "log in with that URL"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ConnectTimeout("slow"), "cannot connect to https://registry.example.com: slow; does it run"),
        (httpx.ReadTimeout("slow"), "does not answer in time; it may have done what was asked: look before you repeat"),
        (httpx.ProxyError("403"), "the proxy refuses: 403; look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY"),
        (httpx.ReadError("reset"), "the connection to https://registry.example.com broke (ReadError: reset)"),
    ],
)
def test_no_answer_says_what_to_do(error: httpx.HTTPError, said: str) -> None:
    assert said in unreachable(error, TARGET)


def test_the_password_is_not_shown_with_its_target() -> None:
    assert "Secret-Passw0rd" not in repr(TARGET)
