"""Readers of both change logs, while their services are killed and stopped under load: they lose nothing, in order."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import httpx
import pytest

from roadstead.auth.v1 import change_service_pb2 as auth_pb
from roadstead.auth.v1.change_service_pb2_grpc import ChangeServiceStub as AuthChanges
from roadstead.change.v1.change_pb2 import Change
from roadstead.meta.v1 import change_service_pb2 as meta_pb
from roadstead.meta.v1.change_service_pb2_grpc import ChangeServiceStub as MetaChanges
from svckit.change import LogPosition
from svckit.changes.reader import ChangeReader
from svckit.rpc import open_channel
from tests.harness.installation import Installation, running_installation
from tests.harness.keyring import Keyring
from tests.harness.plain_http import NO_TLS
from tests.harness.process import kill_and_wait
from tests.harness.waiting import wait_until_async

pytestmark = pytest.mark.slow

T = TypeVar("T")

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
# Of each kind, between two ends of a service.
WRITES = 15


class Consumer:
    """Keeps what it has read, and notices when it is told to begin anew."""

    def __init__(self) -> None:
        self.kept: LogPosition | None = None
        self.begun = 0
        self.changes: list[Change] = []

    async def position(self) -> LogPosition | None:
        return self.kept

    async def begin(self, position: LogPosition) -> None:
        self.begun += 1
        self.kept = position

    async def apply(self, changes: Sequence[Change], position: LogPosition) -> None:
        self.changes += changes
        self.kept = position

    def named(self, kind: str) -> list[str]:
        return [change.resource_name for change in self.changes if change.kind == kind]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_installation(tmp_path_factory.mktemp("changes") / "data") as running:
        yield running


async def has(look: Callable[[T], bool], subject: T, what: str) -> None:
    """Waits until something is so."""
    await wait_until_async(lambda: look(subject), what)


async def create(client: httpx.AsyncClient, path: str, body: dict[str, object], key: str) -> None:
    """Creates something once, however often a service is killed meanwhile."""
    async with asyncio.timeout(120):
        while True:
            try:
                answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                return
            assert answer.status_code >= 500, answer.text
            await asyncio.sleep(0.05)


async def end(installation: Installation, service: str, number: signal.Signals) -> None:
    """Ends a service, and returns when there is a new one."""
    pid = installation.pids()[service]
    await asyncio.to_thread(kill_and_wait, pid, number)
    await wait_until_async(
        lambda: installation.pids().get(service, pid), f"a new {service}", wanted=lambda found: found != pid
    )


async def test_a_new_project_has_a_quota_in_lists_before_anything_is_pushed(installation: Installation) -> None:
    async with httpx.AsyncClient(
        base_url=f"{installation.http_url}/api/v2.0",
        auth=("admin", installation.admin_password),
        timeout=30,
        trust_env=False,
        verify=NO_TLS,
    ) as client:
        await create(client, "/projects", {"project_name": "unused", "storage_limit": 2**20}, "project-unused")

        async def quotas() -> dict[str, int]:
            listed = (await client.get("/quotas", params={"page_size": 100})).json()
            return {quota["ref"]["name"]: quota["hard"]["storage"] for quota in listed}

        found = await wait_until_async(quotas, "the quota", wanted=lambda shown: "unused" in shown, seconds=5)
        assert found["unused"] == 2**20
        (await client.delete("/projects/unused")).raise_for_status()
        assert "unused" not in await quotas()


async def test_readers_miss_nothing_while_services_are_killed(installation: Installation) -> None:
    keyring = Keyring.of(installation.data_dir)
    consumers = {"metasvc": Consumer(), "authsvc": Consumer()}
    made: dict[str, list[str]] = {"label_create": [], "project_created": []}
    ports = installation.grpc_ports

    async with (
        open_channel(
            f"127.0.0.1:{ports['metasvc']}", acting_tokens=keyring.acting_tokens("jobsvc", "metasvc")
        ) as to_metasvc,
        open_channel(
            f"127.0.0.1:{ports['authsvc']}", acting_tokens=keyring.acting_tokens("jobsvc", "authsvc")
        ) as to_authsvc,
        httpx.AsyncClient(
            base_url=f"{installation.http_url}/api/v2.0",
            auth=("admin", installation.admin_password),
            timeout=30,
            trust_env=False,
            verify=NO_TLS,
        ) as client,
    ):
        readers = [
            ChangeReader(MetaChanges(to_metasvc).Watch, meta_pb.WatchRequest(), consumers["metasvc"]),
            ChangeReader(AuthChanges(to_authsvc).Watch, auth_pb.WatchRequest(), consumers["authsvc"]),
        ]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        for consumer in consumers.values():
            await has(lambda of: of.kept is not None, consumer, "the first position")
        started = {name: consumer.kept for name, consumer in consumers.items()}

        async def write(round_number: int) -> None:
            for number in range(WRITES):
                name = f"w{round_number}-{number}"
                await create(client, "/labels", {"name": name, "scope": "g"}, f"label-{name}")
                await create(client, "/projects", {"project_name": name}, f"project-{name}")
                made["label_create"].append(name)
                made["project_created"].append(name)

        for round_number, number in enumerate(ENDS):
            writing = asyncio.create_task(write(round_number))
            before = len(made["label_create"])
            await has(lambda labels: len(labels) > before, made["label_create"], "some writes")  # noqa: B023 - awaited here
            await asyncio.gather(end(installation, "metasvc", number), end(installation, "authsvc", number))
            await writing

        for service, kind in (("metasvc", "label_create"), ("authsvc", "project_created")):
            every = len(ENDS) * WRITES
            await has(lambda of: len(of.named(kind)) >= every, consumers[service], f"every {kind}")  # noqa: B023 - the same
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    for name, consumer in consumers.items():
        begin = started[name]
        assert begin is not None
        revisions = [change.revision for change in consumer.changes]
        assert revisions == list(range(begin.revision + 1, begin.revision + 1 + len(revisions)))
        assert consumer.begun == 1
    assert consumers["metasvc"].named("label_create") == made["label_create"]
    assert consumers["authsvc"].named("project_created") == made["project_created"]
    assert {change.actor.name for change in consumers["metasvc"].changes} == {"admin"}
