"""The forms in which refresh tokens are asked for and presented, and the answers. authsvc is a stand-in."""

import base64
import json

import pytest

from svckit.errors import error_for
from tests.harness.stand_ins.authsvc import REFRESH_TOKEN
from tests.unit.gateway.conftest import REPOSITORY, House

TOKEN = "/service/token"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"alice:open sesame").decode()}
PASSWORD = {"grant_type": "password", "username": "alice", "password": "open sesame", "client_id": "docker"}
REFRESH = {"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN, "client_id": "docker"}


async def test_docker_s_form_brings_a_refresh_token_with_the_registry_token(house: House) -> None:
    answer = await house.http.get(
        f"{TOKEN}?service=harbor-registry&account=alice&client_id=docker&offline_token=true", headers=BASIC
    )
    assert answer.json()["refresh_token"] == REFRESH_TOKEN
    assert set(answer.json()) == {"token", "access_token", "expires_in", "issued_at", "refresh_token"}
    [asked] = house.authsvc.asked_refresh
    assert (asked.client_id, asked.service) == ("docker", "harbor-registry")
    assert (asked.credentials.password.username, asked.credentials.password.secret) == ("alice", "open sesame")


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("GET", "client_id=docker", BASIC),
        ("GET", "client_id=docker&offline_token=false", BASIC),
        # containerd asks so, after a refusal. A token for anybody would not be bound.
        ("GET", "offline_token=true", BASIC),
        ("GET", "client_id=docker&offline_token=true", {}),
        ("HEAD", "client_id=docker&offline_token=true", BASIC),
    ],
)
async def test_no_refresh_token_is_made_where_none_is_asked_for_or_nobody_logs_in(
    house: House, method: str, query: str, headers: dict[str, str]
) -> None:
    answer = await house.http.request(method, f"{TOKEN}?{query}", headers=headers)
    assert answer.status_code == 200
    assert "refresh_token" not in answer.text
    assert house.authsvc.asked_refresh == []


async def test_oauth2_s_form_brings_one_if_it_is_to_be_offline(house: House) -> None:
    online = await house.http.post(TOKEN, data=PASSWORD)
    assert "refresh_token" not in online.json()
    offline = await house.http.post(TOKEN, data=PASSWORD | {"access_type": "offline"})
    assert offline.json()["refresh_token"] == REFRESH_TOKEN
    assert offline.headers["Cache-Control"] == "no-store"


async def test_a_refresh_token_is_exchanged_and_comes_back_unchanged(house: House) -> None:
    house.authsvc.allowed[REPOSITORY] = frozenset({"pull"})
    for access_type in ("", "online", "offline"):
        form = REFRESH | {"access_type": access_type, "scope": f"repository:{REPOSITORY}:pull,push"}
        answer = await house.http.post(TOKEN, data=form)
        document = answer.json()
        assert document["refresh_token"] == REFRESH_TOKEN
        assert document["token_type"] == "Bearer"
        assert document["scope"] == f"repository:{REPOSITORY}:pull"
    assert house.authsvc.asked_refresh == []


@pytest.mark.parametrize("reason", ["PRECONDITION", "STORAGE_FULL"])
async def test_where_none_is_given_the_log_in_still_succeeds(house: House, reason: str) -> None:
    house.authsvc.refresh_failure = error_for(reason)
    answer = await house.http.post(TOKEN, data=PASSWORD | {"access_type": "offline"})
    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()


async def test_other_failures_are_not_hidden(house: House) -> None:
    house.authsvc.refresh_failure = error_for("TOOMANYREQUESTS", retry_after_seconds=3)
    answer = await house.http.get(f"{TOKEN}?client_id=docker&offline_token=1", headers=BASIC)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")


@pytest.mark.parametrize(
    ("form", "status", "code", "oauth"),
    [
        (REFRESH | {"refresh_token": "rsr_other"}, 401, "UNAUTHORIZED", "invalid_grant"),
        (REFRESH | {"client_id": "thief"}, 401, "UNAUTHORIZED", "invalid_grant"),
        (PASSWORD | {"password": "wrong"}, 401, "UNAUTHORIZED", "invalid_grant"),
        (PASSWORD | {"username": ""}, 401, "UNAUTHORIZED", "invalid_grant"),
        (REFRESH | {"refresh_token": ""}, 400, "UNSUPPORTED", "invalid_request"),
        (REFRESH | {"client_id": ""}, 400, "UNSUPPORTED", "invalid_request"),
        (REFRESH | {"refresh_token": [REFRESH_TOKEN, "x"]}, 400, "UNSUPPORTED", "invalid_request"),
        (REFRESH | {"client_id": ["docker", "docker"]}, 400, "UNSUPPORTED", "invalid_request"),
        (PASSWORD | {"access_type": "offline", "client_id": ""}, 400, "UNSUPPORTED", "invalid_request"),
        (PASSWORD | {"access_type": "sometimes"}, 400, "UNSUPPORTED", "invalid_request"),
        (PASSWORD | {"grant_type": ""}, 400, "UNSUPPORTED", "invalid_request"),
        (PASSWORD | {"grant_type": "authorization_code"}, 400, "UNSUPPORTED", "unsupported_grant_type"),
        (PASSWORD | {"grant_type": "client_credentials"}, 400, "UNSUPPORTED", "unsupported_grant_type"),
    ],
)
async def test_a_refused_form_says_so_in_docker_s_words_and_in_oauth2_s(
    house: House, form: dict[str, str], status: int, code: str, oauth: str
) -> None:
    answer = await house.http.post(TOKEN, data=form)
    document = answer.json()
    assert (answer.status_code, document["errors"][0]["code"], document["error"]) == (status, code, oauth)
    assert document["error_description"] == document["errors"][0]["message"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({}, b"", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"scope=" + b"a" * 65536, 413),
    ],
)
async def test_what_is_no_form_is_refused_in_the_same_words(
    house: House, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = await house.http.post(TOKEN, headers=headers, content=content)
    assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")
    assert answer.json()["error_description"] == answer.json()["errors"][0]["message"]


async def test_errors_that_oauth2_does_not_know_and_those_of_docker_s_form_have_docker_s_words_only(
    house: House,
) -> None:
    many = " ".join(f"repository:a/b{n}:pull" for n in range(101))
    wrong = await house.http.get(TOKEN, headers={"Authorization": "Basic " + base64.b64encode(b"alice:no").decode()})
    assert set(wrong.json()) == {"errors"}
    assert (await house.http.get(f"{TOKEN}?offline_token=perhaps", headers=BASIC)).status_code == 400
    house.authsvc.failure = error_for("UNAVAILABLE")
    away = await house.http.post(TOKEN, data=REFRESH)
    assert (away.status_code, set(away.json())) == (503, {"errors"})
    assert (await house.http.post(TOKEN, data=REFRESH | {"scope": many})).json()["error"] == "invalid_request"


async def test_what_oauth2_forbids_in_a_description_is_left_out(house: House) -> None:
    house.authsvc.failure = error_for("BAD_REQUEST", 'a "quoted" \\ text, für alle')
    document = json.loads((await house.http.post(TOKEN, data=REFRESH)).content)
    assert document["error_description"] == "a ?quoted? ? text, f?r alle"
    assert document["errors"][0]["message"] == 'a "quoted" \\ text, für alle'


async def test_as_containerd_falls_back_a_token_as_the_password_of_no_name_is_refused(house: House) -> None:
    header = {"Authorization": "Basic " + base64.b64encode(f":{REFRESH_TOKEN}".encode()).decode()}
    answer = await house.http.get(f"{TOKEN}?service=harbor-registry&offline_token=true", headers=header)
    assert (answer.status_code, house.authsvc.asked) == (401, [])
