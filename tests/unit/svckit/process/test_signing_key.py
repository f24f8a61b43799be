"""A running service takes up a new key from its key file, once the trust bundle has it."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from svckit.durable import replace_file
from svckit.keys import KeyPair
from svckit.metrics import Metrics
from svckit.process.signing_key import FileVersion, SigningKey
from svckit.tokens import ServiceToken
from svckit.tokens.signer import TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle

SERVICE = "blobsvc"


class Service:
    """A service with its key file and the trust bundle of its machine."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "blobsvc.pem"
        self.folder = folder / "trust"
        self.first = KeyPair.generate()
        self.write(self.first)
        self.trust = TrustBundle(self.folder)
        self.trust.publish(SERVICE, self.first)
        self.signer = TokenSigner(SERVICE, self.first)
        self.metrics = Metrics(SERVICE)
        self.key = SigningKey(self.file, FileVersion.of(self.file), self.signer, self.trust, self.metrics)
        self.logged: list[tuple[str, str]] = []

    def write(self, keypair: KeyPair) -> None:
        replace_file(self.file, keypair.to_pem(), mode=0o600)

    def publish(self, keypair: KeyPair, service: str = SERVICE) -> None:
        """As another process, whose bundle is another object."""
        TrustBundle(self.folder).change(service, lambda keys: keys.with_next(keypair, 1))

    async def look(self) -> None:
        with capture_logs() as lines:
            await self.key.look()
        self.logged += [(line["log_level"], line["event"]) for line in lines]

    def made_times(self) -> dict[str, float]:
        """The metric, by kid."""
        lines = self.metrics.render().decode().splitlines()
        found = [line for line in lines if line.startswith("signing_key_made_time_seconds{")]
        return {line.partition('kid="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in found}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


async def test_a_published_key_is_taken_up_and_what_is_signed_is_accepted(service: Service) -> None:
    old, new = service.signer.sign(ServiceToken(subject="service:blobsvc")).text, KeyPair.generate()
    service.publish(new)
    await service.look()
    assert service.signer.kid == service.first.kid
    service.write(new)
    await service.look()
    assert service.signer.kid == new.kid
    assert service.logged == [("info", "key_taken_up")]
    verifier = TokenVerifier(TrustBundle(service.folder))
    for token in (old, service.signer.sign(ServiceToken(subject="service:blobsvc")).text):
        assert verifier.verify(token, ServiceToken).service == SERVICE


async def test_a_key_file_that_is_here_before_the_bundle_waits_for_it(service: Service) -> None:
    new = KeyPair.generate()
    service.write(new)
    for _ in range(3):
        await service.look()
    assert service.signer.kid == service.first.kid
    assert service.logged == [("warning", "key_not_published")]
    service.publish(new)
    await service.look()
    assert service.signer.kid == new.kid
    assert service.logged[1:] == [("info", "key_taken_up")]


async def test_the_key_of_another_service_is_not_taken_up(service: Service) -> None:
    others = KeyPair.generate()
    service.publish(others, "metasvc")
    service.write(others)
    await service.look()
    assert service.signer.kid == service.first.kid
    assert service.logged == [("warning", "key_not_published")]


@pytest.mark.parametrize("content", [None, b"", b"not a key"], ids=["missing", "empty", "no key"])
async def test_a_file_that_is_no_key_changes_nothing_and_is_logged_once(
    service: Service, content: bytes | None
) -> None:
    service.file.unlink()
    if content is not None:
        service.file.write_bytes(content)
        service.file.chmod(0o600)
    for _ in range(3):
        await service.look()
    assert service.signer.kid == service.first.kid
    assert service.logged == [("warning", "key_file_unusable")]
    new = KeyPair.generate()
    service.publish(new)
    service.write(new)
    await service.look()
    assert service.signer.kid == new.kid


async def test_a_file_that_others_may_read_is_taken_up_when_its_mode_is_mended(service: Service) -> None:
    new = KeyPair.generate()
    service.publish(new)
    replace_file(service.file, new.to_pem(), mode=0o644)
    await service.look()
    assert service.signer.kid == service.first.kid
    service.file.chmod(0o600)
    await service.look()
    assert service.signer.kid == new.kid


async def test_two_keys_in_quick_succession_leave_the_last(service: Service) -> None:
    second, third = KeyPair.generate(), KeyPair.generate()
    for keypair in (second, third):
        service.publish(keypair)
        service.write(keypair)
    await service.look()
    assert service.signer.kid == third.kid


async def test_a_service_says_once_that_its_key_is_revoked(service: Service) -> None:
    service.trust.change(SERVICE, lambda keys: keys.with_revoked(service.first.kid, 1))
    for _ in range(3):
        await service.look()
    assert service.logged == [("error", "key_not_trusted")]


async def test_a_service_says_once_that_it_signs_with_a_retired_key(service: Service) -> None:
    new = KeyPair.generate()
    service.publish(new)
    service.trust.change(SERVICE, lambda keys: keys.with_signing(new.kid, 2, 2**40))
    for _ in range(3):
        await service.look()
    assert service.logged == [("warning", "key_retired")]
    service.write(new)
    await service.look()
    assert service.logged[1:] == [("info", "key_taken_up")]


async def test_the_metric_says_which_key_signs_and_when_it_was_made(service: Service) -> None:
    made = service.file.stat().st_mtime
    assert service.made_times() == {service.first.kid: pytest.approx(made)}
    new = KeyPair.generate()
    service.write(new)
    os.utime(service.file, (1_700_000_000, 1_700_000_000))
    await service.look()
    assert service.made_times() == {service.first.kid: pytest.approx(made)}
    service.publish(new)
    await service.look()
    assert service.made_times() == {new.kid: 1_700_000_000}


async def test_a_key_that_was_made_at_this_start_is_in_the_metric_after_the_first_look(service: Service) -> None:
    metrics = Metrics(SERVICE)
    service.metrics = metrics
    service.key = SigningKey(service.file, None, service.signer, service.trust, metrics)
    await service.look()
    assert set(service.made_times()) == {service.first.kid}
    assert service.logged == []
