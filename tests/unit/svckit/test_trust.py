import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from svckit.keys import KeyPair
from svckit.trust import TrustBundle, TrustError


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trust"


def write(folder: Path, service: str, keys: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{service}.jwks.json").write_text(json.dumps({"keys": keys}))


def make_old(folder: Path) -> None:
    """As if nothing in it had changed for long."""
    for file in folder.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))


def published_kids(folder: Path, service: str) -> list[str]:
    document = json.loads((folder / f"{service}.jwks.json").read_text())
    return [jwk["kid"] for jwk in document["keys"]]


def test_what_one_service_publishes_all_find(folder: Path) -> None:
    auth, meta = KeyPair.generate(), KeyPair.generate()
    TrustBundle(folder).publish("authsvc", auth)
    TrustBundle(folder).publish("metasvc", meta)
    bundle = TrustBundle(folder)
    for service, keypair in (("authsvc", auth), ("metasvc", meta)):
        key = bundle.find(keypair.kid)
        assert key is not None
        assert (key.service, key.kid) == (service, keypair.kid)
        assert key.public_key.public_numbers() == keypair.public_key.public_numbers()


def test_a_file_holds_public_halves_only_and_all_may_read_it(folder: Path) -> None:
    TrustBundle(folder).publish("authsvc", KeyPair.generate())
    path = folder / "authsvc.jwks.json"
    assert path.stat().st_mode & 0o777 == 0o644
    [jwk] = json.loads(path.read_text())["keys"]
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg", "iat", "nbf"}


def test_a_new_key_stands_beside_the_old_one_until_that_is_revoked(folder: Path) -> None:
    bundle, old, new = TrustBundle(folder), KeyPair.generate(), KeyPair.generate()
    bundle.publish("authsvc", old)
    bundle.publish("authsvc", new)
    assert {key.kid for key in bundle.keys_of("authsvc")} == {old.kid, new.kid}
    bundle.change("authsvc", lambda keys: keys.with_revoked(old.kid, 1))
    assert bundle.find(old.kid) is None
    assert published_kids(folder, "authsvc") == [new.kid]


def test_a_revoked_key_is_not_published_again(folder: Path) -> None:
    bundle, keypair = TrustBundle(folder), KeyPair.generate()
    bundle.publish("authsvc", keypair)
    bundle.change("authsvc", lambda keys: keys.with_revoked(keypair.kid, 1))
    with pytest.raises(TrustError, match=r"was revoked; `roadstead admin keys rotate authsvc`"):
        bundle.publish("authsvc", keypair)
    assert bundle.find(keypair.kid) is None


def test_a_retired_key_is_trusted_until_its_end_also_where_the_file_is_a_copy(folder: Path, clock: Clock) -> None:
    old, new = KeyPair.generate(), KeyPair.generate()
    TrustBundle(folder).publish("authsvc", old)
    TrustBundle(folder).publish("authsvc", new)
    now = Clock()
    TrustBundle(folder).change("authsvc", lambda keys: keys.with_signing(new.kid, 90, 150))
    bundle = TrustBundle(folder, clock, now)
    now.time = 149.9
    assert bundle.find(old.kid) is not None
    now.time = 150.0
    assert bundle.find(old.kid) is None
    assert bundle.find(new.kid) is not None


def test_a_service_whose_key_was_retired_starts_and_its_key_has_no_end_any_more(folder: Path) -> None:
    bundle, old, new = TrustBundle(folder), KeyPair.generate(), KeyPair.generate()
    bundle.publish("authsvc", old)
    bundle.publish("authsvc", new)
    bundle.change("authsvc", lambda keys: keys.with_signing(new.kid, 90, 2**40))
    bundle.publish("authsvc", old)
    assert bundle.key_set("authsvc").keys[old.kid].end_time is None


@pytest.mark.parametrize("is_known", [True, False])
def test_in_a_folder_that_cannot_be_written_a_service_starts_with_a_key_that_is_trusted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    bundle, old, new = TrustBundle(folder), KeyPair.generate(), KeyPair.generate()
    bundle.publish("authsvc", old)
    bundle.publish("authsvc", new)
    bundle.change("authsvc", lambda keys: keys.with_signing(new.kid, 90, 2**40))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("svckit.trust.replace_file", read_only)
    with nullcontext() if is_known else pytest.raises(TrustError, match="cannot write"):
        bundle.publish("authsvc", old if is_known else KeyPair.generate())


def test_the_mode_of_a_file_stays_as_somebody_set_it(folder: Path) -> None:
    bundle = TrustBundle(folder)
    bundle.publish("authsvc", KeyPair.generate())
    path = folder / "authsvc.jwks.json"
    path.chmod(0o640)
    bundle.publish("authsvc", KeyPair.generate())
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_does_not_become_larger_than_what_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svckit.trust._MAXIMUM_FILE_BYTES", 500)
    bundle, keypair = TrustBundle(folder), KeyPair.generate()
    bundle.publish("authsvc", keypair)
    with pytest.raises(TrustError, match="was not changed: it would be larger than 500 bytes"):
        bundle.publish("authsvc", KeyPair.generate())
    assert published_kids(folder, "authsvc") == [keypair.kid]


def test_publishing_again_writes_nothing(folder: Path) -> None:
    bundle, keypair = TrustBundle(folder), KeyPair.generate()
    bundle.publish("authsvc", keypair)
    before = (folder / "authsvc.jwks.json").stat()
    bundle.publish("authsvc", keypair)
    after = (folder / "authsvc.jwks.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_replicas_that_publish_at_once_lose_no_key(folder: Path) -> None:
    keypairs = [KeyPair.generate() for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda keypair: TrustBundle(folder).publish("authsvc", keypair), keypairs))
    assert set(published_kids(folder, "authsvc")) == {keypair.kid for keypair in keypairs}


def test_services_that_start_together_know_each_other_at_once(folder: Path, clock: Clock) -> None:
    bundle, keypairs = TrustBundle(folder, clock), [KeyPair.generate() for _ in range(20)]
    assert bundle.find(keypairs[0].kid) is None
    for number, keypair in enumerate(keypairs):
        TrustBundle(folder).publish(f"svc{number}", keypair)
        assert bundle.find(keypair.kid) is not None


def test_a_file_that_is_changed_in_place_is_read_when_a_key_is_unknown(folder: Path, clock: Clock) -> None:
    bundle, early, late = TrustBundle(folder, clock), KeyPair.generate(), KeyPair.generate()
    bundle.publish("authsvc", early)
    make_old(folder)
    assert bundle.find(late.kid) is None
    write(folder, "authsvc", [early.to_jwk(), late.to_jwk()])
    assert bundle.find(late.kid) is not None


def test_a_flood_of_forged_kids_does_not_become_a_flood_of_readings(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    TrustBundle(folder).publish("authsvc", KeyPair.generate())
    make_old(folder)
    bundle = TrustBundle(folder, clock)
    readings = count_readings(monkeypatch)
    for number in range(1000):
        bundle.find(f"forged-{number}")
    assert readings == ["read"]


@pytest.mark.parametrize("how", ["revoked", "changed in place", "file removed"])
def test_a_key_that_is_taken_out_is_trusted_for_two_seconds_at_most(folder: Path, clock: Clock, how: str) -> None:
    keypair = KeyPair.generate()
    TrustBundle(folder).publish("authsvc", keypair)
    make_old(folder)
    bundle = TrustBundle(folder, clock)
    assert bundle.find(keypair.kid) is not None
    match how:
        case "revoked":
            TrustBundle(folder).change("authsvc", lambda keys: keys.with_revoked(keypair.kid, 1))
        case "changed in place":
            write(folder, "authsvc", [])
        case _:
            (folder / "authsvc.jwks.json").unlink()
    clock.time += 1.9
    assert bundle.find(keypair.kid) is not None
    clock.time += 0.1
    assert bundle.find(keypair.kid) is None


def test_files_that_do_not_change_are_not_read_again_within_a_minute(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypair = KeyPair.generate()
    TrustBundle(folder).publish("authsvc", keypair)
    make_old(folder)
    bundle = TrustBundle(folder, clock)
    readings = count_readings(monkeypatch)
    for _ in range(59):
        assert bundle.find(keypair.kid) is not None
        clock.time += 1
    assert readings == ["read"]
    clock.time += 1
    assert bundle.find(keypair.kid) is not None
    assert readings == ["read", "read"]


def test_a_file_that_could_not_be_read_is_tried_again_within_a_minute(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keypair = KeyPair.generate()
    TrustBundle(folder).publish("authsvc", keypair)
    make_old(folder)
    bundle = TrustBundle(folder, clock)
    with monkeypatch.context() as patched:
        patched.setattr("svckit.trust._read", broken_disk)
        assert bundle.keys_of("authsvc") == []
    clock.time += 60
    assert bundle.find(keypair.kid) is not None


def broken_disk(_path: Path) -> None:
    raise OSError(errno.EIO, "Input/output error")


def count_readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts the readings from now on, in the list that it returns."""
    readings: list[str] = []
    reread = TrustBundle.reread

    def counted(self: TrustBundle) -> None:
        readings.append("read")
        reread(self)

    monkeypatch.setattr(TrustBundle, "reread", counted)
    return readings


def test_a_folder_that_goes_takes_its_keys_with_it(folder: Path) -> None:
    bundle, keypair = TrustBundle(folder), KeyPair.generate()
    bundle.publish("authsvc", keypair)
    (folder / "authsvc.jwks.json").unlink()
    bundle.reread()
    assert bundle.find(keypair.kid) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"keys": {}}', '{"keys": [5]}', '{"keys": [{}]}', "\xff", "x" * 300_000]
)
def test_a_broken_file_keeps_what_was_last_read_from_it_and_harms_no_other(folder: Path, content: str) -> None:
    bundle, auth, meta = TrustBundle(folder), KeyPair.generate(), KeyPair.generate()
    bundle.publish("authsvc", auth)
    bundle.publish("metasvc", meta)
    (folder / "authsvc.jwks.json").write_text(content, encoding="latin-1")
    bundle.reread()
    assert bundle.find(auth.kid) is not None
    assert bundle.find(meta.kid) is not None
    assert TrustBundle(folder).find(auth.kid) is None


def test_a_broken_file_is_not_written_over(folder: Path) -> None:
    folder.mkdir()
    (folder / "authsvc.jwks.json").write_text("{")
    with pytest.raises(TrustError, match="was not changed"):
        TrustBundle(folder).publish("authsvc", KeyPair.generate())
    assert (folder / "authsvc.jwks.json").read_text() == "{"


def test_a_kid_that_is_not_the_thumbprint_is_refused(folder: Path) -> None:
    victim, attacker = KeyPair.generate(), KeyPair.generate()
    write(folder, "authsvc", [victim.to_jwk()])
    write(folder, "aardvark", [attacker.to_jwk() | {"kid": victim.kid}])
    key = TrustBundle(folder).find(victim.kid)
    assert key is not None
    assert key.service == "authsvc"


def test_a_key_that_two_services_claim_has_one_owner(folder: Path) -> None:
    keypair = KeyPair.generate()
    write(folder, "authsvc", [keypair.to_jwk()])
    write(folder, "metasvc", [keypair.to_jwk()])
    key = TrustBundle(folder).find(keypair.kid)
    assert key is not None
    assert key.service == "authsvc"


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"crv": "P-384"},
        {"x": 5},
        {"x": "AAAA"},
        {"x": "ü"},
        {"y": None},
    ],
)
def test_what_is_no_point_of_p256_is_no_key(folder: Path, changes: dict[str, Any]) -> None:
    keypair = KeyPair.generate()
    write(folder, "authsvc", [keypair.to_jwk() | changes])
    assert TrustBundle(folder).find(keypair.kid) is None


@pytest.mark.parametrize("name", ["README.md", "authsvc.json", ".authsvc.jwks.json.tmp", "Auth-Svc.jwks.json", ".lock"])
def test_other_files_in_the_folder_are_not_read(folder: Path, name: str) -> None:
    keypair = KeyPair.generate()
    folder.mkdir()
    (folder / name).write_text(json.dumps({"keys": [keypair.to_jwk()]}))
    assert TrustBundle(folder).find(keypair.kid) is None


@pytest.mark.parametrize("service", ["", "../authsvc", "Auth", "a/b", "a\n"])
def test_a_name_that_is_no_service_cannot_publish(folder: Path, service: str) -> None:
    with pytest.raises(TrustError, match="not the name of a service"):
        TrustBundle(folder).publish(service, KeyPair.generate())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrustError, match="cannot write"):
        TrustBundle(tmp_path / "file" / "trust").publish("authsvc", KeyPair.generate())
