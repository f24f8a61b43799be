"""A push by a platform over gRPC, with a service killed between any two steps, and within each step.

A repeat of the step has the same result: the same digest and generation, charged once, linked once, tagged once. Until
then nothing of the image is visible. test_crash_windows_over_http.py does the same over HTTP.
"""

import fcntl
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol

import grpc
import pytest

from roadstead.blob.v1.upload_service_pb2 import WriteUploadRequest
from tests.harness import plain_http
from tests.harness.claims import claims_of
from tests.harness.images import image
from tests.harness.meta_rows import MetaRows
from tests.harness.platform_caller import Push, Step, calling_platform, messages
from tests.harness.pushed import Stored
from tests.harness.services import Services
from tests.harness.waiting import wait_until
from tests.harness.wire import wire_to

pytestmark = pytest.mark.slow

on_sqlite = pytest.mark.parametrize("services", ["sqlite"], indirect=True)
on_both = pytest.mark.parametrize(
    "services", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
STEPS = tuple(Step)
LAYER_BYTES = 3_500_000
# Less than HTTP/2 allows a client to send before the server answers.
SHORT_LAYER_BYTES = 40_000
WAIT_SECONDS = 20.0
# Within a step and just after it, on slow and on fast machines.
KILL_AFTER_SECONDS = (0.001, 0.004, 0.016)
# The codes of a call to a service that ends during the call.
BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}

_seeds = count(7000)


@dataclass
class Scene:
    """A push into a project of its own, and the services that it goes through."""

    services: Services
    push: Push
    stored: Stored
    older_sessions: set[str] = field(default_factory=set)

    def do_up_to(self, last: Step) -> None:
        """Does all steps up to and including one."""
        for step in STEPS[: STEPS.index(last) + 1]:
            self.do(step)

    def do_before(self, step: Step) -> None:
        """Does all steps before one, so that it can be done next."""
        for earlier in STEPS[: STEPS.index(step)]:
            self.do(earlier)
        if step is Step.PUT:
            self.push.push_config()
        self.older_sessions = set(self.stored.upload_bytes())

    def do_after(self, step: Step) -> None:
        """Does all steps after one."""
        for later in STEPS[STEPS.index(step) + 1 :]:
            self.do(later)

    def do(self, step: Step) -> None:
        """Does a step; the config is pushed before the manifest."""
        if step is Step.PUT:
            self.push.push_config()
        self.push.do(step)

    def has_happened(self, step: Step) -> bool:
        """Whether the disk or the database shows the effect of a step."""
        stored, push = self.stored, self.push
        match step:
            case Step.START:
                return bool(set(stored.upload_bytes()) - self.older_sessions)
            case Step.BYTES:
                return self.written_bytes() == len(push.layer)
            case Step.FINISH:
                return bool(stored.generations(push.layer_digest))
            case Step.LINK:
                return stored.has_link(push.repository, push.layer_digest)
            case Step.PUT:
                return stored.has_tag(push.repository, push.tag)

    def written_bytes(self) -> int:
        """The files of the layer's upload on the disk."""
        return self.stored.upload_bytes().get(claims_of(self.push.ticket)["upload_id"], 0)

    def check_unseen(self) -> None:
        """Fails if the effect of a later step is visible, or a partial one."""
        platform, repository = self.push.platform, self.push.repository
        assert platform.has_blob(repository, self.push.layer_digest) == self.has_happened(Step.LINK)
        is_put = self.has_happened(Step.PUT)
        assert platform.has_manifest(repository, self.push.tag) == is_put
        assert platform.has_manifest(repository, self.push.image.digest) == is_put

    def check_outcome(self) -> None:
        """Fails unless the image is there, each part of it once."""
        platform, push = self.push.platform, self.push
        assert platform.manifest(push.repository, push.tag) == push.image.manifest
        assert platform.manifest(push.repository, push.image.digest) == push.image.manifest
        assert platform.tag_names(push.repository) == [push.tag]
        for digest, content in push.image.blobs.items():
            assert platform.read(push.repository, digest) == content
        assert self.stored.generations(push.layer_digest) == [push.generation]
        self.stored.check_once(push.repository, push.image, push.tag)


class NewScene(Protocol):
    """Sets a scene."""

    def __call__(self, layer_bytes: int = LAYER_BYTES) -> Scene:
        """Makes a project, and a push into it."""


@pytest.fixture
def new_scene(services: Services) -> Iterator[NewScene]:
    with ExitStack() as stack:

        def make(layer_bytes: int = LAYER_BYTES) -> Scene:
            project = f"crash{random.getrandbits(40):x}"
            answer = plain_http.request(
                "POST",
                f"{services.http_url}/api/v2.0/projects",
                json={"project_name": project},
                auth=("admin", services.admin_password),
            )
            assert answer.status_code == 201, answer.text
            repository = f"{project}/app"
            caller = calling_platform(services.addresses, repository, "admin", services.admin_password)
            pushed = image(next(_seeds), layers=1, layer_bytes=layer_bytes)
            push = Push(stack.enter_context(caller), repository, pushed)
            return Scene(services, push, Stored(MetaRows(services.database_url), services.data_dir))

        yield make
    # After a failed test, the next one must find all services running.
    services.start_all()


@pytest.fixture
def scene(new_scene: NewScene) -> Scene:
    return new_scene()


def kill_after(scene: Scene, step: Step, service: str) -> None:
    """Kills a service between a step and the next one, and repeats the step."""
    scene.do_up_to(step)
    first_ticket = scene.push.ticket

    scene.services.restart(service)

    scene.check_unseen()
    scene.push.do_again(step)
    scene.check_unseen()
    if step is Step.START:
        # The first upload still exists; it will expire.
        assert replace(scene.push, ticket=first_ticket).committed_bytes() == 0
    scene.do_after(step)
    scene.check_outcome()


@on_sqlite
@pytest.mark.parametrize("step", [Step.START, Step.BYTES, Step.FINISH])
def test_blobsvc_killed_between_two_steps(scene: Scene, step: Step) -> None:
    kill_after(scene, step, "blobsvc")


@on_both
@pytest.mark.parametrize("step", [Step.FINISH, Step.LINK, Step.PUT])
def test_metasvc_killed_between_two_steps(scene: Scene, step: Step) -> None:
    kill_after(scene, step, "metasvc")


def lose_answer(scene: Scene, step: Step) -> None:
    """Kills a service when a step has had its effect, and before its answer arrives; then repeats the step."""
    services, push = scene.services, scene.push
    scene.do_before(step)
    with (
        wire_to(services.addresses[step.service]) as wire,
        calling_platform(
            {**services.addresses, step.service: wire.address}, push.repository, "admin", services.admin_password
        ) as behind_wire,
    ):
        behind_wire.connect(step.service)
        wire.lose_answers()
        future = replace(push, platform=behind_wire).begin(step)
        wait_until(lambda: scene.has_happened(step), step.value)
        services.kill(step.service)
        assert future.code() in BROKEN

    services.start(step.service)

    scene.check_unseen()
    push.do_again(step)
    scene.do_after(step)
    scene.check_outcome()


@on_sqlite
@pytest.mark.parametrize("step", [Step.START, Step.BYTES, Step.FINISH])
def test_blobsvc_killed_before_its_answer_arrives(new_scene: NewScene, step: Step) -> None:
    lose_answer(new_scene(SHORT_LAYER_BYTES), step)


@on_both
@pytest.mark.parametrize("step", [Step.LINK, Step.PUT])
def test_metasvc_killed_before_its_answer_arrives(scene: Scene, step: Step) -> None:
    lose_answer(scene, step)


@on_sqlite
def test_blobsvc_killed_before_it_has_finished(scene: Scene) -> None:
    scene.do_before(Step.FINISH)
    upload_id = claims_of(scene.push.ticket)["upload_id"]

    kill_while_held(scene, Step.FINISH, held_upload(scene, upload_id), lambda: time.sleep(0.1))


@on_both
@pytest.mark.parametrize("step", [Step.LINK, Step.PUT])
def test_metasvc_killed_before_its_commit(scene: Scene, step: Step) -> None:
    scene.do_before(step)
    if step is Step.LINK:
        # Only now does metasvc have a row of the project.
        scene.push.push_config()
    rows, project = scene.stored.rows, scene.push.repository.partition("/")[0]

    kill_while_held(scene, step, rows.held_charges(scene.stored.project_id(project)), rows.wait_for_a_held_write)


def kill_while_held(
    scene: Scene, step: Step, held: AbstractContextManager[None], wait_until_held: Callable[[], None]
) -> None:
    """Kills a service that has begun a step and cannot end it, and repeats the step."""
    with held:
        future = scene.push.begin(step)
        wait_until_held()
        assert not future.done()
        scene.services.kill(step.service)
    assert not scene.has_happened(step)

    scene.services.start(step.service)

    if not hear(scene, step, future):
        assert not scene.has_happened(step)
    scene.check_unseen()
    scene.push.do(step)
    scene.do_after(step)
    scene.check_outcome()


def hear(scene: Scene, step: Step, future: Any) -> bool:
    """Records the answer to a step whose service was killed; returns whether there was one.

    There may be one: gRPC repeats a request if it knows that the service has not seen it.
    """
    if future.code() is not grpc.StatusCode.OK:
        assert future.code() in BROKEN
        return False
    scene.push.note(step, future.result())
    assert scene.has_happened(step), "what was answered has happened"
    return True


@on_sqlite
def test_blobsvc_killed_in_the_middle_of_the_bytes(scene: Scene) -> None:
    scene.do_up_to(Step.START)
    push, sent_bytes, go_on = scene.push, 2 * 1024 * 1024, threading.Event()

    def half() -> Iterator[WriteUploadRequest]:
        yield from messages(push.ticket, 0, push.layer[:sent_bytes])
        go_on.wait(WAIT_SECONDS)

    future = push.platform.begin(push.platform.uploads.WriteUpload, half())
    wait_until(lambda: scene.written_bytes() > 0, "the first bytes")
    scene.services.kill("blobsvc")
    assert future.code() in BROKEN
    go_on.set()

    scene.services.start("blobsvc")

    assert 0 < push.committed_bytes() <= sent_bytes
    scene.check_unseen()
    push.send_the_rest()
    scene.do_after(Step.BYTES)
    scene.check_outcome()


def kill_within(scene: Scene, step: Step, seconds: float) -> None:
    """Kills a service some time after a step has begun, at any point of it, and repeats the step."""
    scene.do_before(step)
    scene.push.platform.connect(step.service)
    future = scene.push.begin(step)
    # A sleep on purpose: the kill comes before the effect, between effect and answer, or after both.
    time.sleep(seconds)
    scene.services.kill(step.service)
    happened = scene.has_happened(step)

    scene.services.start(step.service)

    hear(scene, step, future)
    assert scene.has_happened(step) or not happened, "what had happened is there"
    scene.check_unseen()
    scene.push.do_again(step)
    scene.do_after(step)
    scene.check_outcome()


@on_sqlite
@pytest.mark.parametrize("step", [Step.BYTES, Step.FINISH])
def test_blobsvc_killed_at_any_moment_of_a_step(new_scene: NewScene, step: Step) -> None:
    for seconds in KILL_AFTER_SECONDS:
        kill_within(new_scene(), step, seconds)


# On PostgreSQL, the tests above hit the two important points with locks: before the commit, and after it.
@on_sqlite
@pytest.mark.parametrize("step", [Step.LINK, Step.PUT])
def test_metasvc_killed_at_any_moment_of_a_step(new_scene: NewScene, step: Step) -> None:
    for seconds in KILL_AFTER_SECONDS:
        kill_within(new_scene(), step, seconds)


@contextmanager
def held_upload(scene: Scene, upload_id: str) -> Iterator[None]:
    """Holds the lock on an upload's file, for which a finish waits."""
    with (scene.stored.data_dir / "blobsvc" / "uploads" / upload_id / "data").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
