"""A project is deleted while clients still hold its tokens and uploads, and somebody else takes its name.

Nothing of the old project may open the new one, and no request may hang. A deletion goes on after a crash.
"""

import json
import random
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count

import httpx
import pytest

from tests.harness.images import Image, digest_of, image
from tests.harness.meta_rows import MetaRows
from tests.harness.plain_http import NO_TLS
from tests.harness.push import push
from tests.harness.pushed import Stored
from tests.harness.services import Services
from tests.harness.waiting import result_of, wait_until
from tests.harness.workspace import MAINTAINER, Login, Management

on_sqlite = pytest.mark.parametrize("services", ["sqlite"], indirect=True)
on_both = pytest.mark.parametrize(
    "services", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
ANSWER_SECONDS = 30.0
PIECE = b"p" * 65_536
RACES = 12

_seeds = count(9000)


@dataclass
class Scene:
    """A project of Alice's, and what she still holds of it.

    Attributes:
        management: the REST API, as an administrator.
        alice: maintains the project.
        robot: of the project.
        system_robot: of the system level, with permissions in the project.
        carol: maintains the project through a group.
        bob: has nothing to do with it, until he takes its name.
    """

    services: Services
    management: Management
    project: str
    alice: Login
    robot: Login
    system_robot: Login
    carol: Login
    bob: Login

    @property
    def repository(self) -> str:
        return f"{self.project}/app"

    @contextmanager
    def registry(self, login: Login) -> Iterator[httpx.Client]:
        """A client with a registry token that may do all in the repository, and then lives for half an hour."""
        scope = f"repository:{self.repository}:pull,push,delete"
        with httpx.Client(
            base_url=self.services.http_url, timeout=ANSWER_SECONDS, trust_env=False, verify=NO_TLS
        ) as client:
            answer = client.get("/service/token", params={"scope": scope}, auth=login.basic)
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
            yield client

    def delete(self) -> httpx.Response:
        """One attempt to delete the project."""
        return self.management.client.delete(f"/projects/{self.project}")

    def delete_repository(self) -> None:
        answer = self.management.client.delete(f"/projects/{self.project}/repositories/app")
        assert answer.status_code == 200, answer.text

    def is_taken_by_bob(self) -> None:
        """Bob creates a private project of the same name."""
        with httpx.Client(base_url=self.services.http_url, timeout=ANSWER_SECONDS, trust_env=False) as client:
            body = {"project_name": self.project, "metadata": {"public": "false"}}
            answer = client.post("/api/v2.0/projects", json=body, auth=self.bob.basic)
            assert answer.status_code == 201, answer.text

    @property
    def rows(self) -> MetaRows:
        return MetaRows(self.services.database_url)

    @property
    def stored(self) -> Stored:
        return Stored(self.rows, self.services.data_dir)

    def is_in_state(self, project_id: int, state: str) -> bool:
        """Whether metasvc has the project in that state."""
        return self.rows.count("project", f"id = {project_id} AND state = '{state}'") == 1


@pytest.fixture
def new_scene(services: Services) -> Iterator[Callable[[], Scene]]:
    management = Management(services.admin_password, services.http_url)

    def make() -> Scene:
        project = management.create_project()
        alice, carol, bob = (management.create_user() for _ in range(3))
        management.add_member(project, alice, MAINTAINER)
        management.add_group(project, management.create_group(carol), MAINTAINER)
        robot, system_robot = (management.create_robot(project, level=level) for level in ("project", "system"))
        return Scene(services, management, project, alice, robot, system_robot, carol, bob)

    try:
        yield make
    finally:
        management.close()
        # After a failed test, the next one must find all services running.
        services.start_all()


@pytest.fixture
def scene(new_scene: Callable[[], Scene]) -> Scene:
    return new_scene()


@pytest.fixture
def in_flight() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests during which something is to happen."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@on_both
def test_nothing_of_the_old_project_opens_the_new_one(scene: Scene) -> None:
    pushed = new_image()
    push(scene.services.http_url, scene.alice, scene.repository, pushed, "v1")
    former = (scene.alice, scene.robot, scene.system_robot, scene.carol)
    with ExitStack() as held:
        clients = [held.enter_context(scene.registry(login)) for login in former]
        # Everything that a gateway may remember of the old project, it has seen.
        for client in clients:
            assert set(reads(client, scene.repository, pushed)) == {200}
        locations = [begin(client, scene.repository) for client in clients]
        scene.delete_repository()
        assert scene.delete().status_code == 200

        scene.is_taken_by_bob()
        # The same bytes under the same name, which the old tokens name as well.
        push(scene.services.http_url, scene.bob, scene.repository, pushed, "v1")
        with scene.registry(scene.bob) as bob:
            put_referrer(bob, scene.repository, pushed)
            assert len(referrers(bob, scene.repository, pushed)) == 1

        for client, location in zip(clients, locations, strict=True):
            statuses = [*reads(client, scene.repository, pushed), *writes(client, scene.repository, location)]
            assert {status for status in statuses if status not in {401, 403, 404}} == set(), str(statuses)
            assert referrers(client, scene.repository, pushed) == []
    for login in (scene.alice, scene.system_robot, scene.carol):
        # With a new token: neither permissions nor memberships follow the name.
        with scene.registry(login) as client:
            statuses = [*reads(client, scene.repository, pushed), *new_writes(client, scene.repository)]
            assert set(statuses) <= {401, 403, 404}, f"{login}: {statuses}"
    alice_sees = httpx.get(f"{scene.services.http_url}/api/v2.0/projects/{scene.project}", auth=scene.alice.basic)
    assert alice_sees.status_code == 404, alice_sees.text
    robot_asks = httpx.get(f"{scene.services.http_url}/service/token", auth=scene.robot.basic)
    assert robot_asks.status_code == 401, robot_asks.text
    # Nothing was linked by what was refused, and Bob still has all of his image.
    links = "repository_blob JOIN repository ON repository.id = repository_blob.repository_id"
    assert scene.rows.count(links, f"repository.name = '{scene.repository}'") == len(pushed.blobs)
    with scene.registry(scene.bob) as bob:
        assert set(reads(bob, scene.repository, pushed)) == {200}


@on_both
def test_an_upload_in_flight_ends_with_its_project(scene: Scene, in_flight: ThreadPoolExecutor) -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield PIECE
        go_on.wait(ANSWER_SECONDS)
        yield PIECE

    with scene.registry(scene.alice) as alice:
        location, finished = begin(alice, scene.repository), begin(alice, scene.repository)
        assert alice.patch(finished, content=PIECE).status_code == 202
        sending = in_flight.submit(alice.patch, location, content=body())
        try:
            # An upload is nothing that metasvc holds, so the project is empty.
            assert scene.delete().status_code == 200
            scene.is_taken_by_bob()
        finally:
            go_on.set()
        assert result_of(sending, "the answer to the upload").status_code in {202, 401, 403, 404}
        for upload, content in ((location, PIECE + PIECE), (finished, PIECE)):
            closing_put = alice.put(httpx.URL(upload).copy_add_param("digest", digest_of(content)))
            assert closing_put.status_code in {401, 403, 404}, closing_put.text

    assert scene.rows.count("repository", f"name = '{scene.repository}'") == 0
    # Bob's project is as it was made: it can be deleted, because it is empty.
    assert scene.delete().status_code == 200


@on_both
def test_a_push_and_a_deletion_at_once_leave_one_of_the_two(
    new_scene: Callable[[], Scene], in_flight: ThreadPoolExecutor
) -> None:
    for _ in range(RACES):
        scene = new_scene()
        project_id = scene.management.project_id(scene.project)
        content = secrets.token_bytes(100)
        with scene.registry(scene.alice) as alice:
            delay = random.uniform(0, 0.03)

            def push_blob(alice: httpx.Client = alice, scene: Scene = scene, content: bytes = content) -> int:
                path = f"/v2/{scene.repository}/blobs/uploads/"
                return alice.post(path, params={"digest": digest_of(content)}, content=content).status_code

            pushing = in_flight.submit(push_blob)
            threading.Event().wait(delay)
            deleted = scene.delete().status_code
            pushed = result_of(pushing, "the answer to the push")

        assert (deleted, pushed) in {(200, 401), (200, 403), (200, 404), (412, 201)}
        assert scene.rows.count("repository", f"project_id = {project_id}") == (0 if deleted == 200 else 1)


@on_sqlite
@pytest.mark.parametrize("service", ["metasvc", "authsvc", "gateway"])
def test_a_deletion_that_ends_before_authsvc_has_deleted_goes_on(
    scene: Scene, in_flight: ThreadPoolExecutor, service: str
) -> None:
    project_id = scene.management.project_id(scene.project)
    with scene.registry(scene.alice) as alice:
        location = begin(alice, scene.repository)
        with held_writes(scene, "authsvc/auth.db"):
            deleting = in_flight.submit(scene.delete)
            wait_until(lambda: scene.is_in_state(project_id, "deleting"), "the fence")
            scene.services.kill(service)
        scene.services.start(service)
        await_answer(deleting)

        # Between fence and end, and after it, nothing can be pushed.
        closing_put = alice.put(httpx.URL(location).copy_add_param("digest", digest_of(b"")), content=b"")
        assert closing_put.status_code in {401, 403, 404}, closing_put.text
    wait_until(lambda: scene.delete().status_code, "the end of the deletion", wanted=lambda status: status == 404)
    check_that_it_is_gone(scene, project_id)


@on_sqlite
@pytest.mark.parametrize("is_taken_at_once", [True, False])
def test_a_deletion_that_ends_after_authsvc_has_deleted_goes_on(
    scene: Scene, in_flight: ThreadPoolExecutor, *, is_taken_at_once: bool
) -> None:
    project_id = scene.management.project_id(scene.project)
    with held_writes(scene, "authsvc/auth.db") as release:
        deleting = in_flight.submit(scene.delete)
        wait_until(lambda: scene.is_in_state(project_id, "deleting"), "the fence")
        with held_writes(scene, "metasvc/meta.db"):
            release()
            path = scene.services.data_dir / "authsvc/auth.db"
            wait_until(lambda: projects_in(path, project_id), "authsvc", wanted=lambda found: found == 0)
            scene.services.kill("metasvc")
    scene.services.start("metasvc")
    await_answer(deleting)

    if is_taken_at_once:
        check_that_it_is_gone(scene, project_id)
    else:
        # Nobody has a right in it any more, so metasvc ends it by itself.
        wait_until(lambda: scene.is_in_state(project_id, "deleted"), "its end")
        check_that_it_is_gone(scene, project_id)


def check_that_it_is_gone(scene: Scene, project_id: int) -> None:
    """Fails unless the name is free, and the deletion is recorded once."""
    scene.is_taken_by_bob()
    pushed = new_image()
    push(scene.services.http_url, scene.bob, scene.repository, pushed, "v1")
    scene.stored.check_once(scene.repository, pushed, "v1")
    assert scene.is_in_state(project_id, "deleted")
    assert scene.rows.count("change", f"kind = 'project_delete' AND project_id = {project_id}") == 1


def new_image() -> Image:
    return image(next(_seeds), layers=1, layer_bytes=1024)


def begin(client: httpx.Client, repository: str) -> str:
    answer = client.post(f"/v2/{repository}/blobs/uploads/")
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["Location"]
    return location


def reads(client: httpx.Client, repository: str, pushed: Image) -> list[int]:
    """The statuses of everything that can be read of an image."""
    paths = [
        "manifests/v1",
        f"manifests/{pushed.digest}",
        *(f"blobs/{digest}" for digest in pushed.blobs),
        "tags/list",
    ]
    return [
        client.request(method, f"/v2/{repository}/{path}").status_code for path in paths for method in ("GET", "HEAD")
    ]


def writes(client: httpx.Client, repository: str, location: str) -> list[int]:
    """The statuses of everything that changes a repository, with an upload that began before."""
    # blobsvc asks nobody about projects, so an upload may go on. Nothing of it can be linked.
    assert client.patch(location, content=PIECE).status_code in {202, 401, 403, 404}
    ended = client.put(httpx.URL(location).copy_add_param("digest", digest_of(PIECE)))
    return [ended.status_code, *manifest_writes(client, repository)]


def new_writes(client: httpx.Client, repository: str) -> list[int]:
    """The statuses of everything that changes a repository."""
    return [client.post(f"/v2/{repository}/blobs/uploads/").status_code, *manifest_writes(client, repository)]


def manifest_writes(client: httpx.Client, repository: str) -> list[int]:
    """The statuses of a manifest's push and of a tag's deletion."""
    other = new_image()
    media_type = {"Content-Type": other.media_type}
    return [
        client.put(f"/v2/{repository}/manifests/v2", content=other.manifest, headers=media_type).status_code,
        client.delete(f"/v2/{repository}/manifests/v1").status_code,
    ]


def put_referrer(client: httpx.Client, repository: str, subject: Image) -> None:
    """Puts a manifest that names an image as its subject, and the image's own config as its config."""
    document = json.loads(subject.manifest) | {
        "subject": {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": len(subject.manifest),
        },
    }
    content = json.dumps(document).encode()
    path = f"/v2/{repository}/manifests/{digest_of(content)}"
    answer = client.put(path, content=content, headers={"Content-Type": subject.media_type})
    assert answer.status_code == 201, answer.text


def referrers(client: httpx.Client, repository: str, subject: Image) -> list[object]:
    """What names an image as its subject. It is an empty list for a repository that is not there."""
    answer = client.get(f"/v2/{repository}/referrers/{subject.digest}")
    assert answer.status_code in {200, 401, 403, 404}, answer.text
    found: list[object] = answer.json().get("manifests", [])
    return found


def await_answer(deleting: "Future[httpx.Response]") -> None:
    """Waits for the answer to the interrupted request. It may have been lost."""
    try:
        answer = result_of(deleting, "the answer to the deletion")
    except httpx.TransportError:
        return
    assert answer.status_code in {200, 404, 503}, answer.text


@contextmanager
def held_writes(scene: Scene, path: str) -> Iterator[Callable[[], None]]:
    """Blocks every write of a service's SQLite file, for 5 seconds at most. The result ends it early."""
    with closing(sqlite3.connect(scene.services.data_dir / path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")

        def release() -> None:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

        try:
            yield release
        finally:
            release()


def projects_in(path: object, project_id: int) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        [found] = connection.execute("SELECT count(*) FROM project WHERE id = ?", [project_id]).fetchone()
        return int(found)
