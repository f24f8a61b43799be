"""Two replicas of every service on two machines, which have copies of the trust bundle and of the key files.

Everything is as in production: `roadstead serve`, TCP, certificates, PostgreSQL, and the steps of docs/operations.md.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from svckit.keys import load, load_or_create
from svckit.services import SERVICES
from svckit.trust import TrustBundle
from tests.harness.admin_cli import run_process
from tests.harness.paced_load import paced_load
from tests.harness.replicas import ReplicaSet, replicas
from tests.harness.repository import token_for
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

PER_SECOND = 30
OVERLAP_SECONDS = 3


class Machine:
    """The keys and the trust bundle of one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trust = folder / "trust"

    def key_file(self, service: str) -> Path:
        return self.folder / "keys" / f"{service}.pem"

    def copy_trust(self, other: "Machine", service: str) -> None:
        """Copies the public keys of a service to another machine."""
        _copy(self.trust / f"{service}.jwks.json", other.trust / f"{service}.jwks.json")

    def copy_key(self, other: "Machine", service: str) -> None:
        """Copies a key file to another machine."""
        _copy(self.key_file(service), other.key_file(service))


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.copy")
    shutil.copy2(source, temporary)
    temporary.replace(target)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Machine, Machine]:
    """Two machines with the same keys."""
    first, second = (Machine(tmp_path / name) for name in ("first", "second"))
    for service in SERVICES:
        TrustBundle(first.trust).publish(service, load_or_create(first.key_file(service)))
    shutil.copytree(first.folder, second.folder)
    return first, second


@pytest.fixture
def sets(
    machines: tuple[Machine, Machine], postgres_database: str, tmp_path: Path
) -> Iterator[tuple[ReplicaSet, ReplicaSet, Login]]:
    folder = tmp_path / "shared"
    folder.mkdir()
    first, second = machines
    with replicas(folder, postgres_database, machines=(first.folder, second.folder)) as (one, other, password):
        yield one, other, Login("admin", password)


def test_keys_of_copies_are_rotated_in_two_steps_without_a_failed_request(
    machines: tuple[Machine, Machine], sets: tuple[ReplicaSet, ReplicaSet, Login]
) -> None:
    (first, second), (one, other, login) = machines, sets
    old = {service: load(first.key_file(service)).kid for service in SERVICES}
    overlap = ("--overlap-seconds", str(OVERLAP_SECONDS))
    with paced_load([one.http_url, other.http_url], login, per_second=PER_SECOND) as load_:
        load_.stop.wait(1)
        run_process("keys", "prepare", "--config", one.config)
        for service in SERVICES:
            first.copy_trust(second, service)
        time.sleep(OVERLAP_SECONDS + 1)
        run_process("keys", "activate", *overlap, "--config", one.config)
        # The first machine signs with the new keys, the second with the old ones, and both accept both.
        wait_until(lambda: one.log().count("key_taken_up") == len(SERVICES), "the first machine to take up its keys")
        assert kid_of(token_for(one.http_url, login, "repository:library/x:pull")) != old["authsvc"]
        assert kid_of(token_for(other.http_url, login, "repository:library/x:pull")) == old["authsvc"]
        load_.stop.wait(1)
        for service in SERVICES:
            first.copy_key(second, service)
            first.copy_trust(second, service)
        wait_until(lambda: other.log().count("key_taken_up") == len(SERVICES), "the second machine to take up its keys")
        load_.stop.wait(1)
        per_second = load_.per_second
    assert not load_.failed
    assert per_second > 0.9 * PER_SECOND
    assert "key_not_published" not in one.log() + other.log()
    for machine in machines:
        published = {service: TrustBundle(machine.trust).key_set(service) for service in SERVICES}
        assert {service: published[service].signing() for service in SERVICES} == {
            service: load(first.key_file(service)).kid for service in SERVICES
        }
        assert all(published[service].keys[kid].end_time for service, kid in old.items())


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid
