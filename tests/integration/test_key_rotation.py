"""Keys of a real installation are rotated while it serves: no request fails, and no service is restarted."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest

from roadstead.blob.v1.blob_service_pb2 import ReadBlobRequest
from roadstead.meta.v1.blob_link_service_pb2 import ResolveBlobRequest
from svckit import keys
from svckit.services import SERVICES
from tests.harness import plain_http
from tests.harness.admin_cli import run_process
from tests.harness.images import digest_of, image
from tests.harness.installation import Installation, StartInstallation
from tests.harness.paced_load import paced_load
from tests.harness.platform_caller import Platform, Push, Step, calling_platform
from tests.harness.repository import EMPTY_CONFIG, Repository, dumped, open_repository, token_for
from tests.harness.waiting import wait_until
from tests.harness.workspace import Login

PER_SECOND = 50
REPOSITORY = "library/rotated"
# What security.md promises.
EVERYWHERE_SECONDS = 5.0


def admin_keys(installation: Installation, *words: str) -> str:
    """The standard output of `roadstead admin keys`, a process of its own. The other lines say that it waits."""
    result = run_process("keys", *words, "--data-dir", installation.data_dir)
    waits = "rotate" in words and installation.is_running
    assert ("until every process knows the new public keys" in result.stderr) == waits, result.stderr
    return result.stdout


def states(installation: Installation) -> dict[tuple[str, str], str]:
    """What each key is for, by service and kid."""
    rows: list[dict[str, Any]] = json.loads(admin_keys(installation, "list", "--json"))
    return {(row["service"], row["kid"]): row["state"] for row in rows}


def key_files(installation: Installation) -> dict[str, str]:
    """The kid in each key file."""
    return {name: keys.load(installation.data_dir / "keys" / f"{name}.pem").kid for name in SERVICES}


def signing(installation: Installation) -> dict[str, str]:
    """The kid with which each process signs now, as its metrics say."""
    found = {}
    for process, url in installation.metrics_urls.items():
        text = plain_http.get(url).text
        [line] = [line for line in text.splitlines() if line.startswith("signing_key_made_time_seconds{")]
        found[process] = line.partition('kid="')[2].partition('"')[0]
    return found


def wait_for_take_up(installation: Installation) -> None:
    """Waits until all processes sign with the keys in their files. It must not take longer than the documents say."""
    files, began = key_files(installation), time.monotonic()
    wanted = {process: files[process.partition("-")[0]] for process in installation.metrics_urls}
    wait_until(lambda: signing(installation) == wanted, "all processes to sign with their new keys")
    assert time.monotonic() - began < EVERYWHERE_SECONDS


def admin(installation: Installation) -> Login:
    return Login("admin", installation.admin_password)


@pytest.fixture
def running(start_installation: StartInstallation) -> Installation:
    return start_installation(workers=2, metrics=True)


@pytest.fixture
def repository(running: Installation) -> Iterator[Repository]:
    with open_repository(running.http_url, admin(running), REPOSITORY) as opened:
        yield opened


def test_two_rotations_of_all_keys_under_50_requests_a_second_fail_none(running: Installation) -> None:
    pids, first = running.pids(), key_files(running)
    with paced_load([running.http_url], admin(running), per_second=PER_SECOND) as load:
        load.stop.wait(2)
        admin_keys(running, "rotate")
        wait_for_take_up(running)
        second = key_files(running)
        # At once again.
        admin_keys(running, "rotate")
        wait_for_take_up(running)
        load.stop.wait(2)
        per_second = load.per_second
    assert not load.failed
    assert per_second > 0.9 * PER_SECOND
    assert len(load.sent) == 10, "all kinds of request were sent"
    third = key_files(running)
    for service in SERVICES:
        assert len({first[service], second[service], third[service]}) == 3
    expected = [(first, "verifies"), (second, "verifies"), (third, "signs")]
    assert states(running) == {(name, kids[name]): state for kids, state in expected for name in SERVICES}
    assert running.pids() == pids, "no process was restarted"
    log = running.log_file.read_text()
    # Two gateways and five other processes, twice.
    assert log.count("key_taken_up") == 14
    assert "PRIVATE KEY" not in log
    token = token_for(running.http_url, admin(running), f"repository:{REPOSITORY}:pull")
    assert jwt.get_unverified_header(token)["kid"] == third["authsvc"]


def test_a_long_push_goes_on_through_a_rotation_with_its_old_token_and_ticket(
    running: Installation, repository: Repository
) -> None:
    old = key_files(running)
    pieces = [bytes([number]) * 100_000 for number in range(200)]
    rotated, sent = threading.Event(), []

    def body() -> Iterator[bytes]:
        for piece in pieces:
            sent.append(piece)
            yield piece
            # Until the rotation is over, five pieces a second; then two more, and it ends.
            if rotated.wait(0.2) and len(sent) > after[0] + 2:
                return

    after = [0]
    location, paused = repository.begin(), repository.begin()
    paused = repository.http.patch(paused, content=EMPTY_CONFIG[:1]).headers["Location"]
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(repository.http.patch, location, content=body(), timeout=60)
        wait_until(lambda: len(sent) > 2, "the upload to be in flight")
        admin_keys(running, "rotate")
        wait_for_take_up(running)
        after[0] = len(sent)
        assert not writing.done()
        rotated.set()
        written = writing.result()
    assert written.status_code == 202, written.text
    assert after[0] > 20, "the upload was in flight for seconds"

    assert jwt.get_unverified_header(repository.token)["kid"] == old["authsvc"] != key_files(running)["authsvc"]
    repository.finish(paused, EMPTY_CONFIG, EMPTY_CONFIG[1:])
    content = b"".join(sent)
    repository.finish(written.headers["Location"], content)
    layer = {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": len(content)}
    assert repository.put("v1", dumped(repository.manifest(layers=[layer]))).status_code == 201


def test_documents_of_the_old_keys_are_good_after_a_rotation(running: Installation) -> None:
    addresses = {name: f"127.0.0.1:{port}" for name, port in running.grpc_ports.items()}
    with calling_platform(addresses, REPOSITORY, "admin", running.admin_password) as platform:
        begun, stored, linked = (Push(platform, REPOSITORY, image(seed, layers=1)) for seed in (1, 2, 3))
        begun.do(Step.START, Step.BYTES)
        stored.do(Step.START, Step.BYTES, Step.FINISH)
        linked.do(Step.START, Step.BYTES, Step.FINISH, Step.LINK)
        grant = granted(platform, linked.layer_digest)
        old = key_files(running)
        assert [kid_of(each) for each in (begun.ticket, stored.receipt, grant)] == [
            old["blobsvc"],
            old["blobsvc"],
            old["metasvc"],
        ]

        admin_keys(running, "rotate")
        wait_for_take_up(running)

        begun.do(Step.FINISH, Step.LINK)
        stored.do(Step.LINK)
        assert b"".join(each.data for each in read(platform, grant)) == linked.layer
        assert kid_of(begun.receipt) == key_files(running)["blobsvc"] != old["blobsvc"]
        assert kid_of(granted(platform, linked.layer_digest)) == key_files(running)["metasvc"] != old["metasvc"]


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def granted(platform: Platform, digest: str) -> str:
    grant: str = platform.call(
        platform.links.ResolveBlob, ResolveBlobRequest(repository=REPOSITORY, digest=digest)
    ).grant
    return grant


def read(platform: Platform, grant: str) -> Any:
    return platform.blobs.ReadBlob(ReadBlobRequest(grant=grant), metadata=platform._metadata, timeout=60)


def test_what_a_revoked_key_signed_is_refused_everywhere_within_five_seconds(
    running: Installation, repository: Repository
) -> None:
    repository.push_blob(EMPTY_CONFIG)
    assert repository.put("v1", dumped(repository.manifest())).status_code == 201
    path, old = f"{repository.path}/manifests/v1", key_files(running)
    addresses = {name: f"127.0.0.1:{port}" for name, port in running.grpc_ports.items()}
    with (
        calling_platform(addresses, REPOSITORY, "admin", running.admin_password) as platform,
        httpx.Client(base_url=running.http_url, trust_env=False, timeout=60) as http,
    ):
        pushed = Push(platform, REPOSITORY, image(1, layers=1))
        pushed.do(Step.START, Step.BYTES, Step.FINISH)
        for service in ("authsvc", "blobsvc", "metasvc", "gateway", "jobsvc", "worker"):
            output = admin_keys(running, "revoke", old[service])
            began = time.monotonic()
            assert f"{service}: {old[service]} is revoked" in output
            # Whoever logs in again goes on.
            assert http.get(path, auth=admin(running).basic).status_code == 200
            token = token_for(running.http_url, admin(running), f"repository:{REPOSITORY}:pull")
            assert http.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
            if service == "authsvc":
                # Both gateways have looked; then a replay is refused every time.
                wait_until(lambda: statuses(repository, path) == {401}, "the old token to be refused")
                wait_until(
                    lambda: platform.refusal(platform.links.ResolveBlob, resolve(pushed)) is not None,
                    "metasvc to refuse it",
                )
                wait_until(
                    lambda: (
                        platform.begin(platform.uploads.FinishUpload, pushed.finish_request()).code()
                        is grpc.StatusCode.UNAUTHENTICATED
                    ),
                    "blobsvc to refuse it",
                )
                assert time.monotonic() - began < EVERYWHERE_SECONDS
                assert statuses(repository, path) == {401}
        # With a new token, the receipt and the ticket of the revoked key are still worth nothing.
        with calling_platform(addresses, REPOSITORY, "admin", running.admin_password) as fresh:
            pushed.platform = fresh
            for step in (Step.LINK, Step.FINISH):
                with pytest.raises(grpc.RpcError) as refused:
                    pushed.begin(step).result()
                assert refused.value.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
            again = Push(fresh, REPOSITORY, image(2, layers=1))
            again.do(Step.START, Step.BYTES, Step.FINISH, Step.LINK)
    assert {name for (name, _), state in states(running).items() if state == "revoked"} == set(SERVICES)


def statuses(repository: Repository, path: str) -> set[int]:
    """The answers of twenty requests with the token of the repository, each on a connection of its own."""
    bearer = {"Authorization": f"Bearer {repository.token}"}
    url = str(repository.http.base_url).rstrip("/") + path
    return {plain_http.get(url, headers=bearer).status_code for _ in range(20)}


def resolve(pushed: Push) -> ResolveBlobRequest:
    return ResolveBlobRequest(repository=pushed.repository, digest=pushed.layer_digest)


def test_a_removed_key_opens_nothing_any_more(running: Installation, repository: Repository) -> None:
    old, path = key_files(running)["authsvc"], f"{repository.path}/tags/list"
    repository.push_blob(EMPTY_CONFIG)
    assert repository.put("v1", dumped(repository.manifest())).status_code == 201
    admin_keys(running, "rotate", "authsvc")
    wait_for_take_up(running)
    assert statuses(repository, path) == {200}

    # As if its two days were over.
    file = running.data_dir / "trust" / "authsvc.jwks.json"
    document = json.loads(file.read_bytes())
    for jwk in document["keys"]:
        if jwk["kid"] == old:
            jwk["exp"] = int(time.time())
    file.write_text(json.dumps(document))
    wait_until(lambda: statuses(repository, path) == {401}, "the token of the old key to be refused")
    assert f"authsvc: {old} is removed" in admin_keys(running, "prune")
    assert old not in file.read_text()
    assert statuses(repository, path) == {401}


def test_keys_are_rotated_while_everything_is_stopped(running: Installation) -> None:
    with open_repository(running.http_url, admin(running), REPOSITORY) as repository:
        location = repository.begin()
        location = repository.http.patch(location, content=EMPTY_CONFIG[:1]).headers["Location"]
        running.stop()
        old = key_files(running)
        output = admin_keys(running, "rotate")
        assert output.count(": signs with ") == len(SERVICES)
        begin = running.log_file.stat().st_size
        running.start()
        assert signing(running) == {
            process: key_files(running)[process.partition("-")[0]] for process in running.metrics_urls
        }
        assert all(kid != old[service] for service, kid in key_files(running).items())
        repository.finish(location, EMPTY_CONFIG, EMPTY_CONFIG[1:])
        assert "key_is_new" not in running.log_file.read_text()[begin:]


def test_a_key_file_that_was_replaced_by_hand_is_not_taken_up_before_it_is_published(running: Installation) -> None:
    file = running.data_dir / "keys" / "blobsvc.pem"
    old, new = key_files(running)["blobsvc"], keys.KeyPair.generate()
    temporary = Path(f"{file}.new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(new.to_pem())
    temporary.replace(file)
    wait_until(lambda: "key_not_published" in running.log(), "blobsvc to say so")
    assert signing(running)["blobsvc"] == old
    with open_repository(running.http_url, admin(running), REPOSITORY) as repository:
        for _ in itertools.repeat(None, 3):
            repository.push_blob(EMPTY_CONFIG)
