import asyncio
import threading
from collections.abc import Iterator

import pytest

from authsvc.domain import hashing
from authsvc.domain.hashing import Argon2Hasher, VerifiedSecrets
from authsvc.domain.robot_secret import RobotSecrets
from svckit.errors import DomainError, Invalid


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    hasher = Argon2Hasher(memory_kib=8, passes=1, threads=2)
    yield hasher
    hasher.close()


async def test_a_hash_is_argon2id_of_its_own_salt_and_holds_the_password_only(hasher: Argon2Hasher) -> None:
    one, two = await asyncio.gather(hasher.hash("secret"), hasher.hash("secret"))
    assert one != two
    assert one.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await hasher.verify(one, "secret")
    assert not await hasher.verify(one, "Secret")
    assert not await hasher.verify("no hash", "secret")
    await hasher.verify_dummy("secret")


def test_the_default_cost_is_owasps() -> None:
    hasher = Argon2Hasher()
    parameters = (hasher._argon2.memory_cost, hasher._argon2.time_cost, hasher._argon2.parallelism)
    hasher.close()
    assert parameters == (19 * 1024, 2, 1)


async def test_no_more_run_at_once_than_there_are_threads_and_no_more_wait_than_allowed(
    hasher: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "MAXIMUM_WAITING", 6)
    running = 0
    most = 0
    release = threading.Event()
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        release.wait(10)
        with lock:
            running -= 1

    tasks = [asyncio.create_task(hasher._run(work)) for _ in range(6)]
    await asyncio.sleep(0)
    with pytest.raises(DomainError) as caught:
        await hasher.hash("secret")
    assert caught.value.reason == "OVERLOADED"
    release.set()
    await asyncio.gather(*tasks)
    assert most <= 2
    assert await hasher.hash("secret")


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_right_secret_is_remembered_for_its_account_and_hash_for_a_while() -> None:
    time = Time()
    verified = VerifiedSecrets(60, clock=time)
    verified.remember("user:1", "hash", "secret")
    assert verified.knows("user:1", "hash", "secret")
    assert not verified.knows("user:2", "hash", "secret")
    assert not verified.knows("user:1", "other hash", "secret")
    assert not verified.knows("user:1", "hash", "Secret")
    time.now = 59.9
    assert verified.knows("user:1", "hash", "secret")
    time.now = 60.0
    assert not verified.knows("user:1", "hash", "secret")


def test_remembering_is_bounded_can_be_off_and_keeps_no_secret() -> None:
    verified = VerifiedSecrets(60, clock=Time(), maximum_remembered=2)
    for number in range(3):
        verified.remember("user:1", "hash", f"secret{number}")
    assert [verified.knows("user:1", "hash", f"secret{number}") for number in range(3)] == [False, True, True]
    assert b"secret" not in b"".join(verified._expire_times)
    verified.knows("user:1", "hash", "\udcff")
    off = VerifiedSecrets(0)
    off.remember("user:1", "hash", "secret")
    assert not off.knows("user:1", "hash", "secret")


async def test_robot_secrets_are_long_random_and_hashed_with_the_key(hasher: Argon2Hasher) -> None:
    secrets = RobotSecrets(b"k" * 32, hasher)
    made = [await secrets.make("") for _ in range(20)]
    assert len({secret for secret, _ in made}) == 20
    for secret, secret_hash in made:
        assert len(secret) >= 32
        assert secret.isalnum()
        assert secret not in secret_hash
        assert await secrets.verify(secret_hash, secret)
        assert not await secrets.verify(secret_hash, secret + "x")
    assert not await RobotSecrets(b"o" * 32, hasher).verify(made[0][1], made[0][0])
    chosen, chosen_hash = await secrets.make("Chosen-secret-1")
    assert chosen_hash.startswith("$argon2id$")
    assert await secrets.verify(chosen_hash, chosen)
    with pytest.raises(Invalid):
        await secrets.make("weak")
    assert "k" * 32 not in repr(secrets)
