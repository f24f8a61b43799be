"""Replicas of every service on one PostgreSQL and one folder of blobs: each knows what the other has stored.

All settings are those of production: `roadstead serve`, TCP, certificates on both sides.
"""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.plain_http import NO_TLS
from tests.harness.postgres import numbered_database
from tests.harness.postgres_server import PostgresServer
from tests.harness.replicas import ReplicaSet, replicas
from tests.harness.repository import EMPTY_CONFIG, Repository, closing, dumped, open_repository
from tests.harness.workspace import MAINTAINER, Login, Management

CONTENT = bytes(range(256)) * 12_000


@dataclass
class Pair:
    """Two replicas of everything, and who may do all in a private project.

    Attributes:
        first: one set of them.
        second: the other.
        password: of the user admin.
        project: the project's name.
        login: a maintainer of it.
    """

    first: ReplicaSet
    second: ReplicaSet
    password: str
    project: str
    login: Login

    def open(self, stack: ExitStack) -> tuple[Repository, Repository]:
        """A new repository, through each of the two gateways."""
        name = f"{self.project}/{secrets.token_hex(6)}"
        one, other = (
            stack.enter_context(open_repository(each.http_url, self.login, name)) for each in (self.first, self.second)
        )
        return one, other


@pytest.fixture(scope="module")
def pair(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("replicas")
    with numbered_database(postgres_server) as url, replicas(folder, url) as (first, second, password):
        project, login = new_project(password, first, second)
        yield Pair(first, second, password, project, login)


def new_project(password: str, *replicas: ReplicaSet, storage_limit: int | None = None) -> tuple[str, Login]:
    """Makes a private project and a maintainer of it, by requests to each of the replicas in turn."""
    management = Management(password, *(replica.http_url for replica in replicas))
    try:
        login = management.create_user()
        project = management.create_project(storage_limit=storage_limit)
        management.add_member(project, login, MAINTAINER)
    finally:
        management.close()
    return project, login


def test_each_request_of_a_push_may_reach_another_replica(pair: Pair) -> None:
    with ExitStack() as stack:
        one, other = pair.open(stack)
        half = len(CONTENT) // 2
        location = one.begin()

        written = other.http.patch(location, content=CONTENT[:half], headers={"Content-Range": f"0-{half - 1}"})
        assert written.status_code == 202, written.text
        assert one.committed(written.headers["Location"]) == f"0-{half - 1}"
        written = one.http.patch(
            written.headers["Location"], content=CONTENT[half:], headers={"Content-Range": f"{half}-{len(CONTENT) - 1}"}
        )
        closed = other.http.put(closing(written.headers["Location"], digest_of(CONTENT)))
        assert closed.status_code == 201, closed.text
        assert one.blob(digest_of(CONTENT)).content == CONTENT

        other.push_blob(EMPTY_CONFIG)
        content = dumped(one.manifest())
        assert one.put("v1", content).status_code == 201
        assert other.get("v1").content == content
        assert other.tag_names() == ["v1"]


def test_what_is_moved_or_deleted_at_one_replica_is_so_at_the_other_at_once(pair: Pair) -> None:
    with ExitStack() as stack:
        one, other = pair.open(stack)
        one.push_blob(EMPTY_CONFIG)
        for number in range(10):
            writer, reader = (one, other) if number % 2 else (other, one)
            content = dumped(one.manifest(annotations={"number": str(number)}))
            assert writer.put("latest", content).status_code == 201
            assert reader.get("latest").content == content
            assert writer.http.delete(f"{one.path}/manifests/{digest_of(content)}").status_code == 202
            assert reader.get(digest_of(content)).status_code == 404
            assert reader.get("latest").status_code == 404


def test_a_quota_is_exact_though_both_charge_it(pair: Pair) -> None:
    blobs = [secrets.token_bytes(100_000) for _ in range(12)]
    project, login = new_project(pair.password, pair.first, pair.second, storage_limit=5 * 100_000)
    with ExitStack() as stack:
        # One repository each, so that they wait for each other only at the quota.
        opened = [
            stack.enter_context(open_repository((pair.first, pair.second)[n % 2].http_url, login, f"{project}/r{n}"))
            for n in range(12)
        ]

        def push(number: int) -> int:
            path = f"{opened[number].path}/blobs/uploads/"
            content = blobs[number]
            return opened[number].http.post(path, params={"digest": digest_of(content)}, content=content).status_code

        with ThreadPoolExecutor(12) as pool:
            statuses = sorted(pool.map(push, range(12)))
    assert statuses == [201] * 5 + [403] * 7


def test_one_set_goes_on_with_what_the_other_had_begun_when_it_was_killed(
    postgres_database: str, tmp_path: Path
) -> None:
    with replicas(tmp_path, postgres_database) as (first, second, password), ExitStack() as stack:
        project, login = new_project(password, first, second)
        name = f"{project}/left"
        one = stack.enter_context(open_repository(first.http_url, login, name))
        other = stack.enter_context(open_repository(second.http_url, login, name))
        one.push_blob(EMPTY_CONFIG)
        content = dumped(one.manifest())
        assert one.put("v1", content).status_code == 201
        location = one.begin()
        written = one.http.patch(location, content=CONTENT[:1_000_000])
        assert written.status_code == 202, written.text

        first.kill()

        assert other.get("v1").content == content
        # The token, the ticket and the bytes of the other set's.
        other.token = one.token
        assert other.committed(written.headers["Location"]) == "0-999999"
        other.finish(written.headers["Location"], CONTENT, CONTENT[1_000_000:])


def test_a_refresh_token_of_one_is_good_at_the_other_until_it_ends_at_either(pair: Pair) -> None:
    _, login = new_project(pair.password, pair.first, pair.second)
    password = {"grant_type": "password", "username": login.name, "password": login.secret, "access_type": "offline"}
    with httpx.Client(trust_env=False, timeout=30, verify=NO_TLS) as http:
        answer = http.post(f"{pair.first.http_url}/service/token", data={**password, "client_id": "docker"})
        form = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"], "client_id": "docker"}

        def statuses() -> list[int]:
            urls = [each.http_url for each in (pair.first, pair.second)]
            return [http.post(f"{url}/service/token", data=form).status_code for url in urls]

        assert statuses() == [200, 200]
        management = Management(pair.password, pair.second.http_url)
        try:
            [user] = management.client.get("/users", params={"q": f"username={login.name}"}).json()
            management.client.put(
                f"/users/{user['user_id']}/password", json={"new_password": f"{login.secret}2"}
            ).raise_for_status()
        finally:
            management.close()
        assert statuses() == [401, 401]
