"""`roadstead admin keys`, on the files of an installation that is stopped, or that a test pretends to run."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctl.__main__ import main
from ctl.rotation import _MOST_KEYS, ServiceKeys
from svckit.key_set import KeySet
from svckit.keys import KeyPair, load
from svckit.services import SERVICES
from svckit.tokens.retention import needed_seconds
from svckit.trust import TrustBundle
from tests.unit.ctl.installed_keys import InstalledKeys

HOUR = 3600


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ROADSTEAD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def installed(tmp_path: Path) -> InstalledKeys:
    keys = InstalledKeys(tmp_path / "data")
    keys.start()
    return keys


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the commands. Instead of waiting, the clock goes on."""
    waited: list[float] = []
    now = time.time
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(time, "time", lambda: now() + sum(waited))
    return waited


@pytest.fixture
def running(installed: InstalledKeys, pauses: list[float]) -> Iterator[InstalledKeys]:
    """An installation whose lock is held."""
    assert pauses == []
    installed.data_dir.format_file.write_text("1\n")
    with installed.data_dir.opened():
        yield installed


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Standard error, without line breaks at the end."""
    return capsys.readouterr().err.strip()


def test_a_rotation_gives_each_service_a_new_key_and_the_old_one_an_end(
    installed: InstalledKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {service: installed.kid(service) for service in SERVICES}
    began = time.time()
    assert installed.run("rotate") == 0
    ended = time.time()
    for service, kid in old.items():
        new = installed.kid(service)
        assert new != kid
        assert installed.trusts(new)
        assert installed.trusts(kid)
        assert "exp" not in installed.jwk(service, new)
        assert (
            began + needed_seconds(service) < installed.jwk(service, kid)["exp"] <= ended + needed_seconds(service) + 1
        )
        assert not installed.next_file(service).exists()
        assert mode(installed.data_dir.key_file(service)) == 0o600
        assert mode(installed.data_dir.trust / f"{service}.jwks.json") == 0o644
    output = capsys.readouterr().out
    assert all(f"{service}: signs with {installed.kid(service)}" in output for service in SERVICES)
    assert "PRIVATE" not in output


def test_the_keys_of_one_service_are_rotated_and_those_of_no_other(installed: InstalledKeys) -> None:
    old = {service: installed.kid(service) for service in SERVICES}
    assert installed.run("rotate", "metasvc") == 0
    assert [service for service in SERVICES if installed.kid(service) != old[service]] == ["metasvc"]


def test_two_rotations_leave_both_old_keys_for_their_tokens(installed: InstalledKeys) -> None:
    first = installed.kid("authsvc")
    installed.run("rotate", "authsvc")
    second, first_end = installed.kid("authsvc"), installed.jwk("authsvc", first)["exp"]
    installed.run("rotate", "authsvc")
    third = installed.kid("authsvc")
    assert len({first, second, third}) == 3
    assert all(map(installed.trusts, (first, second, third)))
    assert installed.jwk("authsvc", first)["exp"] == first_end <= installed.jwk("authsvc", second)["exp"]


def test_while_services_run_a_rotation_waits_until_they_know_the_new_keys(
    running: InstalledKeys, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert running.run("rotate") == 0
    assert sum(pauses) <= 6
    assert re.search("waiting [1-6] s until every process knows", capsys.readouterr().err)
    for service in SERVICES:
        jwk = running.jwk(service, running.kid(service))
        assert jwk["nbf"] - jwk["iat"] >= 5 > 2 * TrustBundle.LOOK_EVERY_SECONDS


def test_a_rotation_that_is_interrupted_while_it_waits_goes_on_with_the_same_keys(
    running: InstalledKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    old = running.kid("authsvc")
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", interrupt)
        assert running.run("rotate") == 130
    prepared = running.next("authsvc").kid
    assert running.kid("authsvc") == old
    assert running.trusts(prepared)
    assert running.run("rotate") == 0
    assert running.kid("authsvc") == prepared


def test_a_rotation_in_two_steps_signs_with_the_new_key_after_the_second(
    running: InstalledKeys, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    old = running.kid("blobsvc")
    assert running.run("prepare", "blobsvc", "--overlap-seconds", "600") == 0
    prepared = running.next("blobsvc").kid
    assert mode(running.next_file("blobsvc")) == 0o600
    assert running.kid("blobsvc") == old
    assert running.trusts(prepared)

    assert running.run("activate", "--overlap-seconds", "600") == 1
    assert re.search("may not be known everywhere yet; try again in 60[01] s", said(capsys))
    assert running.kid("blobsvc") == old

    pauses.append(601)
    assert running.run("activate", "--overlap-seconds", "600") == 0
    assert running.kid("blobsvc") == prepared
    # Whoever gets the key file last still signs with the old one for as long as the overlap.
    assert running.jwk("blobsvc", old)["exp"] >= time.time() - 2 + 600 + 24 * HOUR


def test_preparing_twice_makes_one_key(installed: InstalledKeys) -> None:
    installed.run("prepare")
    prepared = {service: installed.next(service).kid for service in SERVICES}
    installed.run("prepare")
    assert {service: installed.next(service).kid for service in SERVICES} == prepared
    assert all(len(installed.kids(service)) == 2 for service in SERVICES)


def test_a_prepared_key_that_cannot_be_the_next_is_replaced_by_another(installed: InstalledKeys) -> None:
    installed.run("prepare", "authsvc")
    revoked = installed.next("authsvc")
    installed.run("revoke", revoked.kid)
    signing = load(installed.data_dir.key_file("authsvc"))
    for copied in (revoked, signing):
        installed.next_file("authsvc").touch(mode=0o600)
        installed.next_file("authsvc").write_bytes(copied.to_pem())
        assert installed.run("prepare", "authsvc") == 0
        assert installed.next("authsvc").kid not in {revoked.kid, signing.kid}
        assert not installed.trusts(revoked.kid)


def test_nothing_is_activated_that_was_not_prepared(
    installed: InstalledKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installed.run("activate") == 1
    assert "no key is prepared; `roadstead admin keys prepare` makes them" in said(capsys)
    assert installed.run("activate", "authsvc") == 1
    assert "no key of authsvc is prepared; `roadstead admin keys prepare authsvc`" in said(capsys)


def test_keys_are_removed_when_their_tokens_have_expired(
    installed: InstalledKeys, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    old = {service: installed.kid(service) for service in SERVICES}
    installed.run("rotate")
    assert installed.run("prune") == 0
    assert all(installed.trusts(kid) for kid in old.values())
    pauses.append(needed_seconds("blobsvc") + 2)
    capsys.readouterr()
    assert installed.run("rotate", "gateway") == 0
    assert old["gateway"] not in installed.kids("gateway"), "the next command on a service removes them as well"
    capsys.readouterr()
    assert installed.run("prune") == 0
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()} == {
        old[service] for service in ("worker", "jobsvc", "metasvc", "blobsvc")
    }
    assert [service for service, kid in old.items() if kid in installed.kids(service)] == ["authsvc"]


def test_the_list_shows_what_each_key_is_for(
    installed: InstalledKeys, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    gone, old, leaked = installed.kid("gateway"), installed.kid("authsvc"), installed.kid("metasvc")
    installed.run("rotate", "gateway")
    pauses.append(400)
    installed.run("rotate", "authsvc")
    installed.run("revoke", leaked)
    installed.run("prepare", "blobsvc")
    capsys.readouterr()

    assert installed.run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SERVICE", "KEY", "STATE", "SINCE", "UNTIL"]
    assert installed.run("list", "--json") == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [list(row) for row in rows] == [["service", "kid", "state", "since", "until"]] * len(rows)
    assert [[value or "-" for value in row.values()] for row in rows] == [line.split() for line in lines[1:]]
    assert {(row["service"], row["kid"]): row["state"] for row in rows} == {
        ("gateway", gone): "ended",
        ("gateway", installed.kid("gateway")): "signs",
        ("authsvc", old): "verifies",
        ("authsvc", installed.kid("authsvc")): "signs",
        ("metasvc", leaked): "revoked",
        ("metasvc", installed.kid("metasvc")): "signs",
        ("worker", installed.kid("worker")): "signs",
        ("jobsvc", installed.kid("jobsvc")): "signs",
        ("blobsvc", installed.kid("blobsvc")): "signs",
        ("blobsvc", installed.next("blobsvc").kid): "next",
    }
    [retired] = [row for row in rows if row["state"] == "verifies"]
    assert retired["until"] > retired["since"]


def test_without_a_command_the_keys_are_listed(installed: InstalledKeys, capsys: pytest.CaptureFixture[str]) -> None:
    assert installed.run() == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]} == set(SERVICES)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_data_directory_may_be_named_before_or_after_the_command(
    installed: InstalledKeys, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    old = installed.kid("authsvc")
    words = ["--data-dir", str(installed.data_dir.path)]
    where = [*words, "rotate", "authsvc"] if place == "before" else ["rotate", "authsvc", *words]
    assert main(["admin", "keys", *where]) == 0
    assert installed.kid("authsvc") != old


def test_a_signing_key_that_has_leaked_is_replaced_and_cut_off(
    installed: InstalledKeys, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    leaked = installed.kid("authsvc")
    assert installed.run("revoke", leaked) == 0
    assert installed.kid("authsvc") != leaked
    assert installed.trusts(installed.kid("authsvc"))
    assert not installed.trusts(leaked)
    assert pauses == []
    output = capsys.readouterr().out
    assert "within 5 s every process refuses what it signed" in output
    assert "registry tokens: clients log in again" in output
    assert "grants" not in output
    installed.start("authsvc")
    assert installed.run("revoke", leaked) == 0
    assert "was revoked at" in capsys.readouterr().out


def test_a_running_service_has_taken_up_its_new_key_before_the_leaked_one_is_cut_off(
    running: InstalledKeys, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaked, trusted = running.kid("metasvc"), []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        trusted.append((running.trusts(running.kid("metasvc")), running.trusts(leaked)))

    monkeypatch.setattr(time, "sleep", wait)
    assert running.run("revoke", leaked) == 0
    assert trusted == [(True, True)]
    assert sum(pauses) == 3
    assert not running.trusts(leaked)


def test_a_key_that_was_prepared_beside_a_leaked_one_is_cut_off_with_it(
    installed: InstalledKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.run("prepare", "authsvc")
    leaked, prepared = installed.kid("authsvc"), installed.next("authsvc").kid
    assert installed.run("revoke", leaked) == 0
    assert f"{prepared} is revoked; it was prepared, and has signed nothing" in capsys.readouterr().out
    assert not any(map(installed.trusts, (leaked, prepared)))
    assert installed.kid("authsvc") not in {leaked, prepared}
    assert installed.trusts(installed.kid("authsvc"))


def test_a_key_that_was_made_beside_a_leaked_one_and_is_not_published_never_signs(installed: InstalledKeys) -> None:
    # As a kill leaves it in the middle of `prepare`.
    made = KeyPair.generate()
    installed.next_file("authsvc").touch(mode=0o600)
    installed.next_file("authsvc").write_bytes(made.to_pem())
    leaked = installed.kid("authsvc")
    assert installed.run("revoke", leaked) == 0
    assert installed.kid("authsvc") not in {leaked, made.kid}
    assert not installed.trusts(made.kid)


def test_a_retired_or_prepared_key_is_cut_off_and_the_signing_one_stays(installed: InstalledKeys) -> None:
    retired = installed.kid("blobsvc")
    installed.run("rotate", "blobsvc")
    signing = installed.kid("blobsvc")
    installed.run("prepare", "blobsvc")
    prepared = installed.next("blobsvc").kid
    for kid in (retired, prepared):
        assert installed.run("revoke", kid) == 0
        assert not installed.trusts(kid)
    assert installed.kid("blobsvc") == signing
    assert installed.trusts(signing)
    assert not installed.next_file("blobsvc").exists()


def test_a_service_that_lost_its_key_to_a_revocation_elsewhere_is_given_another_by_a_rotation(
    installed: InstalledKeys,
) -> None:
    revoked = installed.kid("authsvc")
    TrustBundle(installed.data_dir.trust).change("authsvc", lambda keys: keys.with_revoked(revoked, 1))
    assert installed.run("rotate", "authsvc") == 0
    assert installed.kid("authsvc") != revoked
    installed.start("authsvc")


def test_an_unknown_key_is_not_revoked(installed: InstalledKeys, capsys: pytest.CaptureFixture[str]) -> None:
    assert installed.run("revoke", "somebody") == 1
    assert "no service has the key somebody; `roadstead admin keys list` shows them" in said(capsys)


def test_without_keys_the_commands_say_that_a_first_start_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["list"], ["rotate"], ["prepare"], ["activate"], ["prune"], ["revoke", "kid"]):
        assert InstalledKeys(tmp_path / "none").run(*words) == 1
        assert "the first start of a service makes" in said(capsys)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["rotate", "mailsvc"],
            "'mailsvc' is not a service; there are gateway, worker, jobsvc, metasvc, authsvc, blobsvc",
        ),
        (["rotate", "--overlap-seconds", "-1"], "'-1' is not a number of seconds from 0 to 604800"),
        (["rotate", "--overlap-seconds", "soon"], "'soon' is not a number of seconds"),
        (["revoke"], "the following arguments are required: KEY"),
        (["destroy"], "destroy is not known; there are list, rotate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named(
    installed: InstalledKeys, words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        installed.run(*words)
    assert ended.value.code == 2
    assert text in said(capsys)


def test_the_key_file_of_another_user_is_left_alone(
    installed: InstalledKeys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ctl.rotation.os.geteuid", lambda: 4711)
    assert installed.run("rotate", "authsvc") == 1
    assert "run this command as that user, so that authsvc can read its new key" in said(capsys)
    assert len(installed.kids("authsvc")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns a key file that a group may read")
def test_a_new_key_file_has_the_mode_and_the_group_of_the_old_one(installed: InstalledKeys) -> None:
    file = installed.data_dir.key_file("authsvc")
    os.chown(file, -1, 4711)
    file.chmod(0o640)
    assert installed.run("rotate", "authsvc") == 0
    assert (mode(file), file.stat().st_gid) == (0o640, 4711)


def test_a_key_file_that_is_a_link_stays_one(installed: InstalledKeys, tmp_path: Path) -> None:
    file, real = installed.data_dir.key_file("authsvc"), tmp_path / "real.pem"
    file.rename(real)
    file.symlink_to(real)
    old = installed.kid("authsvc")
    assert installed.run("rotate", "authsvc") == 0
    assert file.is_symlink()
    assert installed.kid("authsvc") != old


def test_a_key_that_is_in_no_bundle_is_not_rotated(
    installed: InstalledKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.data_dir.key_file("authsvc").write_bytes(KeyPair.generate().to_pem())
    assert installed.run("rotate", "authsvc") == 1
    assert "is not in the trust bundle; start authsvc once, which publishes it" in said(capsys)


def test_an_old_copy_of_a_key_file_retires_nothing(
    installed: InstalledKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    file = installed.data_dir.key_file("authsvc")
    copy, old = file.read_bytes(), installed.kid("authsvc")
    # A rotation takes longer than a second.
    keys = ServiceKeys("authsvc", file, TrustBundle(installed.data_dir.trust), 0.0, lambda: time.time() + 10)
    keys.prepare()
    keys.activate()
    new = installed.kid("authsvc")
    file.write_bytes(copy)
    for words in (["rotate", "authsvc"], ["prepare", "authsvc"], ["prune"]):
        assert installed.run(*words) == 1
        assert f"authsvc signs with {new} somewhere else" in said(capsys)
    assert "exp" not in installed.jwk("authsvc", new)
    assert installed.run("list", "--json") == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {row["kid"]: row["state"] for row in rows if row["service"] == "authsvc"} == {old: "verifies", new: "signs"}
    # What the text says to do if that key is lost.
    assert installed.run("revoke", new) == 0
    assert installed.run("rotate", "authsvc") == 0
    assert installed.trusts(installed.kid("authsvc"))
    assert installed.kid("authsvc") != old


def test_a_replica_that_restarts_with_the_old_key_file_in_between_disturbs_nothing(installed: InstalledKeys) -> None:
    file = installed.data_dir.key_file("blobsvc")
    copy, old = file.read_bytes(), installed.kid("blobsvc")
    keys = ServiceKeys("blobsvc", file, TrustBundle(installed.data_dir.trust), 0.0, lambda: time.time() + 10)
    keys.prepare()
    keys.activate()
    new = file.read_bytes()
    file.write_bytes(copy)
    installed.start("blobsvc")
    file.write_bytes(new)
    assert installed.run("prune") == 0
    assert installed.jwk("blobsvc", old)["exp"] > time.time() + 24 * HOUR
    assert "exp" not in installed.jwk("blobsvc", installed.kid("blobsvc"))


def test_a_lost_key_that_a_start_made_again_is_retired_by_the_next_command(installed: InstalledKeys) -> None:
    lost = installed.kid("metasvc")
    installed.data_dir.key_file("metasvc").unlink()
    installed.start("metasvc")
    assert "exp" not in installed.jwk("metasvc", lost)
    assert installed.run("prune") == 0
    assert "exp" in installed.jwk("metasvc", lost)
    assert "exp" not in installed.jwk("metasvc", installed.kid("metasvc"))


def test_no_more_keys_are_made_than_every_process_can_read(
    installed: InstalledKeys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ctl.rotation._MOST_KEYS", 3)
    for _ in range(2):
        assert installed.run("rotate", "gateway") == 0
    signing = installed.kid("gateway")
    assert installed.run("rotate", "gateway") == 1
    assert "gateway has 3 keys already" in said(capsys)
    assert installed.kid("gateway") == signing


def test_the_most_keys_of_a_service_fit_into_its_file(installed: InstalledKeys) -> None:
    def with_as_many(keys: KeySet) -> KeySet:
        for _ in range(_MOST_KEYS):
            keypair = KeyPair.generate()
            keys = keys.with_next(keypair, 2**31).with_signing(keypair.kid, 2**31, 2**31)
        return keys

    TrustBundle(installed.data_dir.trust).change("gateway", with_as_many)
    assert len(TrustBundle(installed.data_dir.trust).keys_of("gateway")) == _MOST_KEYS + 1


def test_two_commands_do_not_change_keys_at_the_same_time(
    running: InstalledKeys, pauses: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    statuses: list[int] = []

    def meanwhile(seconds: float) -> None:
        statuses.extend(running.run(*words) for words in (["rotate"], ["prune"], ["revoke", "x"], ["list"]))
        pauses.append(seconds)

    monkeypatch.setattr(time, "sleep", meanwhile)
    assert running.run("rotate") == 0
    assert statuses == [1, 1, 1, 0]
    assert capsys.readouterr().err.count("another `roadstead admin keys` is changing keys") == 3
