"""A command of `roadstead admin keys` that is killed at any step leaves keys that work, and the next one goes on."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from shutil import copytree

import pytest

from svckit.services import SERVICES
from tests.unit.ctl.installed_keys import InstalledKeys
from tests.unit.ctl.killed_command import KILLED, run_until

SERVICE = "blobsvc"


@pytest.fixture
def before(tmp_path: Path) -> InstalledKeys:
    keys = InstalledKeys(tmp_path / "before")
    keys.start()
    return keys


def killed_at_each_step(before: InstalledKeys, *words: str) -> Iterator[InstalledKeys]:
    """The files as a kill before each step of a command leaves them."""
    for step in count(1):
        left = InstalledKeys(before.data_dir.path.with_name(f"killed-at-{step}"))
        copytree(before.data_dir.path, left.data_dir.path)
        status = run_until(step, ["admin", "keys", *words, "--data-dir", str(left.data_dir.path)])
        if status == 0:
            assert step > 5, "the command has more steps than this"
            return
        assert status == KILLED
        yield left


def assert_works(keys: InstalledKeys, old: str) -> None:
    """The service that runs, or starts now, signs with a key that everybody trusts."""
    assert keys.trusts(keys.kid(SERVICE))
    assert "exp" not in keys.jwk(SERVICE, keys.kid(SERVICE))
    assert keys.trusts(old)
    keys.start()
    assert keys.trusts(keys.kid(SERVICE))
    assert "exp" not in keys.jwk(SERVICE, keys.kid(SERVICE))


def assert_rotates(keys: InstalledKeys, old: str) -> None:
    """The next rotation ends well, and leaves nothing of the one that was killed."""
    assert keys.run("rotate", SERVICE) == 0
    signing = keys.kid(SERVICE)
    assert signing != old
    ends = {kid: keys.jwk(SERVICE, kid).get("exp") for kid in keys.kids(SERVICE)}
    assert ends.pop(signing) is None
    assert old in ends
    assert None not in ends.values()
    assert {file.name for file in keys.data_dir.trust.iterdir() if SERVICE in file.name} == {f"{SERVICE}.jwks.json"}
    files = {file.name: file.stat().st_mode & 0o777 for file in keys.data_dir.key_file(SERVICE).parent.iterdir()}
    assert files == dict.fromkeys((f"{service}.pem" for service in SERVICES), 0o600)


def test_after_a_killed_rotation_all_works_and_the_next_one_ends_well(before: InstalledKeys) -> None:
    old, seen = before.kid(SERVICE), set()
    for left in killed_at_each_step(before, "rotate", SERVICE):
        seen.add((left.next_file(SERVICE).exists(), len(left.kids(SERVICE)), left.kid(SERVICE) == old))
        assert_works(left, old)
        assert_rotates(left, old)
    # Nothing; the key made; the key published; the key file replaced.
    assert seen == {(False, 1, True), (True, 1, True), (True, 2, True), (False, 2, False)}


def test_after_a_killed_activation_another_one_or_a_pruning_ends_it(before: InstalledKeys) -> None:
    before.run("prepare", SERVICE)
    old, new = before.kid(SERVICE), before.next(SERVICE).kid
    for left in killed_at_each_step(before, "activate", SERVICE):
        assert_works(left, old)
        # The key file was replaced or not. If it was, nothing is prepared any more.
        was_replaced = left.kid(SERVICE) == new
        assert left.run("activate", SERVICE) == (1 if was_replaced else 0)
        assert left.kid(SERVICE) == new
        assert "exp" in left.jwk(SERVICE, old)
        assert "exp" not in left.jwk(SERVICE, new)


def test_a_killed_revocation_is_repeated(before: InstalledKeys) -> None:
    leaked = before.kid(SERVICE)
    for left in killed_at_each_step(before, "revoke", leaked):
        assert left.trusts(left.kid(SERVICE)) or left.kid(SERVICE) == leaked
        assert left.run("revoke", leaked) == 0
        assert not left.trusts(leaked)
        assert left.kid(SERVICE) != leaked
        assert left.trusts(left.kid(SERVICE))
        left.start()


def test_a_killed_revocation_with_a_prepared_key_beside_is_repeated_for_both(before: InstalledKeys) -> None:
    before.run("prepare", SERVICE)
    leaked, prepared = before.kid(SERVICE), before.next(SERVICE).kid
    for left in killed_at_each_step(before, "revoke", leaked):
        assert left.run("revoke", leaked) == 0
        assert not any(map(left.trusts, (leaked, prepared)))
        assert left.kid(SERVICE) not in {leaked, prepared}
        assert left.trusts(left.kid(SERVICE))
