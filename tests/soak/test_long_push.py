"""A push that takes longer than its registry tokens live, with real clocks: a refresh token renews them."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.installation import StartInstallation
from tests.harness.repository import EMPTY_CONFIG, Repository, challenge_of, closing, dumped
from tests.harness.workspace import Management

_LIVES_SECONDS = 60
# Verifiers allow for clocks that differ by so much.
_LEEWAY_SECONDS = 60
_PIECE = bytes(64 * 1024)
_PIECES = 62
_PAUSE_SECONDS = 2.0


@pytest.mark.soak
def test_a_push_outlives_its_tokens_and_renews_them(start_installation: StartInstallation) -> None:
    variables = {"ROADSTEAD_AUTHSVC_CONFIGURATION__TOKEN_EXPIRATION_MINUTES": "1"}
    installation = start_installation(environment=variables)
    management = Management.of(installation)
    try:
        project = management.create_project()
        robot = management.create_robot(project)
    finally:
        management.close()
    name = f"{project}/slow"
    with httpx.Client(base_url=installation.http_url, timeout=120, trust_env=False) as http:

        def made(**form: str) -> str:
            answer = http.post(
                "/service/token", data={**form, "client_id": "docker", "scope": f"repository:{name}:pull,push"}
            )
            document = answer.raise_for_status().json()
            assert document["expires_in"] == _LIVES_SECONDS
            return str(document["refresh_token" if "password" in form else "token"])

        refresh_token = made(grant_type="password", username=robot.name, password=robot.secret, access_type="offline")
        bearer = {"Authorization": f"Bearer {made(grant_type='refresh_token', refresh_token=refresh_token)}"}
        begun = time.monotonic()
        started = http.post(f"/v2/{name}/blobs/uploads/", headers=bearer)

        # One body, as containerd sends it: nothing can be repeated in its middle.
        written = http.patch(started.headers["Location"], content=_slowly(), headers=bearer)
        assert written.status_code == 202, written.text
        assert time.monotonic() - begun > _LIVES_SECONDS + _LEEWAY_SECONDS
        digest = digest_of(_PIECE * _PIECES)
        closed = http.put(closing(written.headers["Location"], digest), headers=bearer)
        assert closed.status_code == 201, closed.text
        assert challenge_of(http.head(f"/v2/{name}/blobs/{digest}", headers=bearer))["error"] == "invalid_token"

        http.headers["Authorization"] = f"Bearer {made(grant_type='refresh_token', refresh_token=refresh_token)}"
        repository = Repository(installation.host, name, "", http)
        repository.push_blob(EMPTY_CONFIG)
        assert repository.put("v1", dumped(repository.manifest())).status_code == 201


def _slowly() -> Iterator[bytes]:
    for _ in range(_PIECES):
        yield _PIECE
        time.sleep(_PAUSE_SECONDS)
