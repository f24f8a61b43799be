"""Refresh tokens over the wire: got in Docker's and in OAuth2's form, used by many, refused to others, cut off."""

import base64
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from svckit import keys
from tests.harness.claims import claims_of, granted_by
from tests.harness.endings import ENDINGS, Account
from tests.harness.images import digest_of
from tests.harness.installation import Installation, on_both_servers
from tests.harness.repository import EMPTY_CONFIG, MakeRepository, challenge_of, dumped, error_code
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login, Management, Workspace

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]

TOKEN = "/service/token"
SERVICE = {"service": "harbor-registry"}


def offline(plain: httpx.Client, login: Login, client_id: str = "docker") -> str:
    """The refresh token that a client gets by OAuth2's form."""
    form = {"grant_type": "password", "username": login.name, "password": login.secret, "access_type": "offline"}
    answer = plain.post(TOKEN, data={**form, **SERVICE, "client_id": client_id})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["refresh_token"])


def exchange(plain: httpx.Client, token: str, scope: str = "", client_id: str = "docker") -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, "scope": scope}
    return plain.post(TOKEN, data={**form, **SERVICE, "client_id": client_id})


def is_refused(answer: httpx.Response) -> bool:
    """Whether it is the refusal of a refresh token; the same for every reason."""
    document: Mapping[str, Any] = answer.json()
    if answer.status_code == 200:
        return False
    said = "the refresh token is not valid; log in again"
    assert document == {
        "error": "invalid_grant",
        "error_description": said,
        "errors": [{"code": "UNAUTHORIZED", "message": said}],
    }
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    return answer.status_code == 401


@pytest.mark.parametrize("who", ["maintainer", "robot"])
def test_docker_s_form_and_oauth2_s_give_refresh_tokens_that_renew(
    plain: httpx.Client, workspace: Workspace, who: str
) -> None:
    login: Login = getattr(workspace, who)
    scope = f"repository:{workspace.project}/x:pull,push"
    query = {**SERVICE, "account": login.name, "client_id": "docker", "offline_token": "true", "scope": scope}
    by_get = plain.get(TOKEN, params=query, auth=login.basic).json()
    by_post = offline(plain, login)

    for token in (by_get["refresh_token"], by_post):
        assert re.fullmatch(r"rsr_[A-Za-z0-9_-]{43}", token)
        answer = exchange(plain, token, f"{scope} repository:nothing/x:pull")
        document = answer.json()
        assert document["refresh_token"] == token
        assert document["scope"] == scope
        assert document["token"] == document["access_token"]
        assert document["expires_in"] == 1800
        assert answer.headers["Cache-Control"] == "no-store"
        assert granted_by(document["access_token"]) == {f"{workspace.project}/x": ["pull", "push"]}
        assert claims_of(document["access_token"])["sub"] == claims_of(by_get["token"])["sub"]
    assert by_get["refresh_token"] != by_post


def test_one_token_is_used_by_many_at_once_and_again(plain: httpx.Client, workspace: Workspace) -> None:
    token = offline(plain, workspace.maintainer)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            answers = list(pool.map(lambda _: exchange(plain, token), range(24)))
            assert [answer.status_code for answer in answers] == [200] * 24


def test_a_stolen_token_is_refused_to_another_client_and_is_nobody_s_password(
    plain: httpx.Client, workspace: Workspace
) -> None:
    token = offline(plain, workspace.maintainer, "ci-runner")
    for thief in ("docker", "ci-runner-2", "CI-RUNNER"):
        assert is_refused(exchange(plain, token, client_id=thief))
    assert not is_refused(exchange(plain, token, client_id="ci-runner"))

    for path in (TOKEN, "/v2/", "/api/v2.0/users/current"):
        assert plain.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 401
        assert plain.get(path, auth=(workspace.maintainer.name, token)).status_code == 401
        # As containerd asks, after the form was refused.
        nobody = base64.b64encode(f":{token}".encode()).decode()
        assert plain.get(path, headers={"Authorization": f"Basic {nobody}"}).status_code == 401


def test_no_log_holds_a_token(plain: httpx.Client, workspace: Workspace, installation: Installation) -> None:
    token = offline(plain, workspace.maintainer, "ci-runner")
    exchange(plain, token, client_id="ci-runner")
    exchange(plain, token, client_id="thief")
    plain.get(TOKEN, params={"refresh_token": token, "client_id": "ci-runner"})
    plain.get(f"/{token}")
    plain.get("/v2/", headers={"Authorization": f"Bearer {token}"})

    def refusals() -> list[str]:
        lines = installation.log_file.read_text().splitlines()
        return [line for line in lines if "refresh_token_refused" in line and '"thief"' in line]

    [line] = wait_until(refusals, "the refusal in the log")
    assert '"reason":"client"' in line.replace(": ", ":")
    assert token not in installation.log_file.read_text()


@pytest.fixture(params=ENDINGS)
def account(
    request: pytest.FixtureRequest, installation: Installation, management: Management, workspace: Workspace
) -> Account:
    return ENDINGS[request.param](installation, management, workspace)


def test_whoever_is_cut_off_gets_nothing_for_the_token_from_that_moment_on(
    plain: httpx.Client, workspace: Workspace, account: Account
) -> None:
    token = offline(plain, account.login)
    assert not is_refused(exchange(plain, token, f"repository:{workspace.project}/x:pull"))
    account.end()
    assert is_refused(exchange(plain, token, f"repository:{workspace.project}/x:pull"))


def test_rest_lists_them_by_pages_and_ends_them(plain: httpx.Client, management: Management) -> None:
    login = management.create_user()
    tokens = {client: offline(plain, login, client) for client in ("first", "second", "third")}
    [user] = management.client.get("/users", params={"q": f"username={login.name}"}).json()
    path = f"/users/{user['user_id']}/refresh-tokens"

    page = management.client.get(path, params={"page": 2, "page_size": 2})
    assert page.headers["X-Total-Count"] == "3"
    assert [token["client_id"] for token in page.json()] == ["first"]
    own = plain.get(f"/api/v2.0{path}", params={"page_size": 1}, auth=login.basic)
    [newest] = own.json()
    assert newest["client_id"] == "third"
    following = {"page_size": "1", "page_token": own.headers["X-Next-Page-Token"]}
    assert [each["client_id"] for each in management.client.get(path, params=following).json()] == ["second"]

    ended = management.client.delete(f"{path}/{newest['id']}")
    assert (ended.status_code, ended.content) == (200, b"")
    assert is_refused(exchange(plain, tokens["third"], client_id="third"))
    for wrong in (newest["id"], 0, "x"):
        assert management.client.delete(f"{path}/{wrong}").status_code == 404
    # What does not say what it wants changes nothing.
    disabled = f"/users/{user['user_id']}/disabled"
    assert [management.client.put(disabled, json=body).status_code for body in ({}, {"disable": True})] == [400, 400]
    assert not is_refused(exchange(plain, tokens["first"], client_id="first"))


def test_what_was_taken_away_is_not_in_the_next_exchange(
    plain: httpx.Client, management: Management, workspace: Workspace
) -> None:
    project, login = management.create_project(), management.create_user()
    management.add_member(project, login, 2)
    token, scope = offline(plain, login), f"repository:{project}/x:pull,push"
    assert granted_by(exchange(plain, token, scope).json()["token"]) == {f"{project}/x": ["pull", "push"]}
    [member] = management.client.get(f"/projects/{project}/members?entityname={login.name}").json()
    management.client.delete(f"/projects/{project}/members/{member['id']}").raise_for_status()
    assert granted_by(exchange(plain, token, scope).json()["token"]) == {}


def test_a_long_push_goes_on_with_registry_tokens_by_the_same_refresh_token(
    plain: httpx.Client, workspace: Workspace, installation: Installation, make_repository: MakeRepository
) -> None:
    refresh_token = offline(plain, workspace.robot)
    repository = make_repository(login=workspace.robot)
    scope = f"repository:{repository.name}:pull,push"

    def renewed() -> str:
        return str(exchange(plain, refresh_token, scope).json()["token"])

    def an_hour_old(service: str, token: str) -> str:
        key = keys.load(installation.data_dir / "keys" / f"{service}.pem")
        claims = claims_of(token)
        then = int(time.time()) - 3600
        times = {"nbf": then, "iat": then, "exp": then + 1800 if service == "authsvc" else claims["exp"]}
        headers = {"typ": jwt.get_unverified_header(token)["typ"], "kid": key.kid}
        return jwt.encode(claims | times, key.private_key, "ES256", headers=headers)

    # The upload has begun an hour ago, with a token that has ended since.
    repository.token = renewed()
    path, _, ticket = repository.begin().partition("?_state=")
    location = f"{path}?_state={an_hour_old('blobsvc', ticket)}"
    repository.token = an_hour_old("authsvc", repository.token)
    location = repository.http.patch(location, content=EMPTY_CONFIG[:1]).headers["Location"]
    assert challenge_of(repository.http.head(f"{repository.path}/blobs/{digest_of(EMPTY_CONFIG)}"))

    # A new one goes on with the upload of the old one, and with everything else.
    repository.token = renewed()
    location = repository.http.patch(location, content=EMPTY_CONFIG[1:]).headers["Location"]
    repository.token = renewed()
    closed = repository.http.put(f"{location}&digest={digest_of(EMPTY_CONFIG)}")
    assert closed.status_code == 201, closed.text
    assert repository.put("v1", dumped(repository.manifest())).status_code == 201


def test_a_long_push_ends_before_its_first_blob_is_linked_when_its_robot_is_removed(
    plain: httpx.Client, installation: Installation, management: Management, workspace: Workspace,
    make_repository: MakeRepository,
) -> None:  # fmt: skip
    account = ENDINGS["removed robot"](installation, management, workspace)
    refresh_token = offline(plain, account.login)
    repository = make_repository(login=account.login)
    location = repository.begin()
    location = repository.http.patch(location, content=EMPTY_CONFIG).headers["Location"]

    account.end()

    assert is_refused(exchange(plain, refresh_token, f"repository:{repository.name}:pull,push"))
    # Its registry token is still valid, but authsvc is asked before a blob is linked.
    refused = repository.http.put(f"{location}&digest={digest_of(EMPTY_CONFIG)}")
    assert (refused.status_code, error_code(refused)) == (401, "UNAUTHORIZED")
