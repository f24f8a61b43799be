"""An image that is pushed while blobsvc is away: either it shows the data of its config, or it does not exist."""

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from roadstead.meta.v1.manifest_service_pb2 import PutManifestRequest
from tests.harness import plain_http
from tests.harness.images import Image, image
from tests.harness.meta_rows import MetaRows
from tests.harness.platform_caller import Push, Step, calling_platform
from tests.harness.pushed import Stored
from tests.harness.services import Services

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("services", ["sqlite"], indirect=True)]

WAIT_SECONDS = 60.0


def new_repository(services: Services) -> str:
    project = f"away{secrets.token_hex(5)}"
    answer = rest(services, "POST", "/projects", json={"project_name": project})
    assert answer.status_code == 201, answer.text
    return f"{project}/app"


def rest(services: Services, method: str, path: str, **sent: object) -> httpx.Response:
    call: Callable[..., httpx.Response] = httpx.request
    return call(
        method,
        f"{services.http_url}/api/v2.0{path}",
        auth=("admin", services.admin_password),
        timeout=WAIT_SECONDS,
        trust_env=False,
        **sent,
    )


def put_over_http(services: Services, repository: str, pushed: Image) -> httpx.Response:
    return plain_http.request(
        "PUT",
        f"{services.http_url}/v2/{repository}/manifests/v1",
        content=pushed.manifest,
        headers={"Content-Type": pushed.media_type},
        auth=("admin", services.admin_password),
    )


def labels(services: Services, repository: str) -> object:
    project, _, name = repository.partition("/")
    answer = rest(services, "GET", f"/projects/{project}/repositories/{name}/artifacts/v1")
    assert answer.status_code == 200, answer.text
    return answer.json()["extra_attrs"]["config"]["Labels"]


def test_a_push_ends_well_when_blobsvc_comes_back_soon_and_not_before(services: Services) -> None:
    repository, pushed = new_repository(services), image(9001, layers=1)
    with calling_platform(services.addresses, repository, "admin", services.admin_password) as platform:
        push = Push(platform, repository, pushed)
        push.do(Step.START, Step.BYTES, Step.FINISH, Step.LINK)
        push.push_config()
        services.kill("blobsvc")

        request = PutManifestRequest(
            repository=repository, reference="v1", media_type=pushed.media_type, content=pushed.manifest
        )
        assert platform.refusal(platform.manifests.PutManifest, request) is grpc.StatusCode.UNAVAILABLE
        assert not platform.has_manifest(repository, "v1")

        with ThreadPoolExecutor(1) as in_flight:
            begun = threading.Event()

            def put() -> httpx.Response:
                begun.set()
                return put_over_http(services, repository, pushed)

            answer = in_flight.submit(put)
            begun.wait()
            services.start("blobsvc")
            assert answer.result().status_code == 201
        assert labels(services, repository) == {"seed": "9001"}
        push.do(Step.PUT)
        Stored(MetaRows(services.database_url), services.data_dir).check_once(repository, pushed, "v1")


def test_while_it_stays_away_clients_are_told_to_come_again(services: Services) -> None:
    repository, pushed, other = new_repository(services), image(9002, layers=1), image(9003, layers=1)
    with calling_platform(services.addresses, repository, "admin", services.admin_password) as platform:
        for each in (pushed, other):
            push = Push(platform, repository, each)
            push.do(Step.START, Step.BYTES, Step.FINISH, Step.LINK)
            push.push_config()
        assert put_over_http(services, repository, pushed).status_code == 201
    services.kill("blobsvc")
    try:
        refused = put_over_http(services, repository, other)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, "UNAVAILABLE")
        assert int(refused.headers["Retry-After"]) >= 1
        # Nothing is fetched for a manifest that is stored already.
        assert put_over_http(services, repository, pushed).status_code == 201
    finally:
        services.start("blobsvc")
    assert labels(services, repository) == {"seed": "9002"}
    assert put_over_http(services, repository, other).status_code == 201
    assert labels(services, repository) == {"seed": "9003"}
