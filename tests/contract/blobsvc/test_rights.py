"""Who may do what over gRPC: every document is refused that was forged, is foreign, or has expired."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from blobsvc.domain.model import BlobKey
from roadstead.blob.v1.blob_pb2 import BlobGeneration
from roadstead.blob.v1.blob_service_pb2 import (
    DeleteBlobRequest,
    ListBlobsRequest,
    LocateBlobRequest,
    ReadBlobRequest,
    StatBlobRequest,
    StatBlobsRequest,
)
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.blob.v1.upload_service_pb2 import (
    CancelUploadRequest,
    FinishUploadRequest,
    GetUploadStatusRequest,
    StartUploadRequest,
    WriteUploadRequest,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from svckit.oci.digest import SHA512, Digest
from svckit.rpc import open_channel
from svckit.tokens import Access, Finding, Grant, IdentityToken, Receipt, RegistryToken, UploadTicket
from tests.contract.blobsvc.conftest import Service
from tests.contract.blobsvc.steps import refused
from tests.harness.keyring import Keyring, Metadata, bearer, from_service

REPOSITORY = "library/app"
DATA = b"some bytes"
DIGEST = Digest.of(DATA)


class Client:
    """A platform caller."""

    def __init__(self, service: Service) -> None:
        self.keyring = service.keyring
        self._channel = open_channel(service.target)
        self.uploads = UploadServiceStub(self._channel)
        self.blobs = BlobServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    @property
    def pusher(self) -> Metadata:
        """The metadata of the one who pushes in these tests."""
        return bearer(self.keyring.registry_token((REPOSITORY, "pull,push", 1)))

    async def start(self) -> str:
        request = StartUploadRequest(repository=REPOSITORY)
        return (await self.uploads.StartUpload(request, metadata=self.pusher)).upload.ticket

    async def write(
        self, ticket: str, data: bytes = DATA, *, repository: str = "", metadata: Metadata | None = None
    ) -> int:
        header = WriteUploadRequest.Header(ticket=ticket, repository=repository)
        messages = [WriteUploadRequest(header=header), WriteUploadRequest(data=data)]
        metadata = self.pusher if metadata is None else metadata
        return (await self.uploads.WriteUpload(iter(messages), metadata=metadata)).committed_size_bytes

    async def status(self, ticket: str, metadata: Metadata | None = None, *, repository: str = "") -> int:
        request = GetUploadStatusRequest(ticket=ticket, repository=repository)
        metadata = self.pusher if metadata is None else metadata
        return (await self.uploads.GetUploadStatus(request, metadata=metadata)).committed_size_bytes

    async def finish(self, ticket: str, metadata: Metadata | None = None, *, repository: str = "") -> Receipt:
        request = FinishUploadRequest(ticket=ticket, repository=repository, digest=str(DIGEST))
        metadata = self.pusher if metadata is None else metadata
        response = await self.uploads.FinishUpload(request, metadata=metadata)
        return self.keyring.verifier().verify(response.receipt, Receipt)

    async def cancel(self, ticket: str, metadata: Metadata | None = None, *, repository: str = "") -> None:
        request = CancelUploadRequest(ticket=ticket, repository=repository)
        await self.uploads.CancelUpload(request, metadata=self.pusher if metadata is None else metadata)

    async def push(self) -> BlobKey:
        ticket = await self.start()
        await self.write(ticket)
        receipt = await self.finish(ticket)
        return BlobKey.of(receipt.digest, receipt.generation)

    async def read(self, grant: str, token: str | None = None) -> bytes:
        metadata = bearer(token or self.keyring.registry_token((REPOSITORY, "pull", 1)))
        call = self.blobs.ReadBlob(ReadBlobRequest(grant=grant), metadata=metadata)
        return b"".join([message.data async for message in call])

    async def stat(self, grant: str, token: str | None = None) -> int:
        metadata = bearer(token or self.keyring.registry_token((REPOSITORY, "pull", 1)))
        response = await self.blobs.StatBlob(StatBlobRequest(grant=grant), metadata=metadata)
        return response.blob.size_bytes

    async def locate(self, grant: str, token: str | None = None) -> list[str | None]:
        metadata = bearer(token or self.keyring.registry_token((REPOSITORY, "pull", 1)))
        response = await self.blobs.LocateBlob(LocateBlobRequest(grant=grant), metadata=metadata)
        return [placement.WhichOneof("way") for placement in response.placements]


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    client = Client(service)
    yield client
    await client.close()


async def test_a_push_needs_a_registry_token_and_goes_on_by_its_ticket(client: Client) -> None:
    ticket = await client.start()
    assert await client.write(ticket) == len(DATA)
    receipt = await client.finish(ticket)
    assert (receipt.repository, receipt.project_id, receipt.subject) == (REPOSITORY, 1, "user:7")
    assert (receipt.digest, receipt.size) == (str(DIGEST), len(DATA))
    assert receipt.upload_time == client.keyring.verifier().verify(ticket, UploadTicket).issued_time
    key = BlobKey.of(receipt.digest, receipt.generation)
    assert await client.read(client.keyring.grant(key, len(DATA))) == DATA


async def test_a_start_needs_push_on_that_very_repository(client: Client) -> None:
    keyring = client.keyring
    request = StartUploadRequest(repository=REPOSITORY)
    for token in (
        keyring.registry_token((REPOSITORY, "pull", 1)),
        keyring.registry_token(("library/app2", "push", 1)),
        keyring.registry_token(("library/app/sub", "push", 1)),
    ):
        with refused("INSUFFICIENT_SCOPE"):
            await client.uploads.StartUpload(request, metadata=bearer(token))
    with refused("UNAUTHORIZED"):
        await client.uploads.StartUpload(request)


async def test_a_start_takes_no_other_token_than_a_registry_token(client: Client) -> None:
    keyring = client.keyring
    identity = IdentityToken(subject="user:1", kind="user", id=1, name="admin", is_admin=True)
    for token in (
        keyring.signer("authsvc").sign(identity).text,
        keyring.registry_token((REPOSITORY, "push", 1), audience="somebody-else"),
        keyring.ticket("0" * 32),
        keyring.service_tokens("gateway").current(),
        "nonsense",
    ):
        with refused("UNAUTHORIZED"):
            await client.uploads.StartUpload(StartUploadRequest(repository=REPOSITORY), metadata=bearer(token))


async def test_a_start_refuses_what_cannot_be_pushed_to_or_hashed(client: Client) -> None:
    metadata = bearer(client.keyring.registry_token(("NoProject", "push", 1)))
    with refused("NAME_INVALID", "INSUFFICIENT_SCOPE", "PROJECT_UNKNOWN"):
        await client.uploads.StartUpload(StartUploadRequest(repository="NoProject"), metadata=metadata)
    metadata = bearer(client.keyring.registry_token((REPOSITORY, "push", 1)))
    with refused("DIGEST_INVALID"):
        await client.uploads.StartUpload(
            StartUploadRequest(repository=REPOSITORY, digest_algorithm="md5"), metadata=metadata
        )


def bad_tickets(keyring: Keyring, ticket: str) -> dict[str, str]:
    """Tickets that must not count, by what is wrong with each."""
    held = keyring.verifier().verify(ticket, UploadTicket)
    expired = keyring.signer("blobsvc", seconds_ago=7200)
    # Signed by somebody whom nobody trusts, in the name of blobsvc.
    forger = keyring.stranger("blobsvc")
    # Signed by a key that is trusted, but not for this.
    impostor = keyring.signer("blobsvc", key_of="gateway")
    head, payload, signature = ticket.split(".")
    other = keyring.ticket("0" * 32).split(".")
    receipt = Receipt(
        subject="user:7", repository=REPOSITORY, project_id=1, digest=str(DIGEST), generation=1, size=1, upload_time=1
    )
    return {
        "nothing": "",
        "nonsense": "nonsense",
        "expired": expired.sign(held, lifetime_seconds=3600).text,
        "forged": forger.sign(held, lifetime_seconds=3600).text,
        "another service's": impostor.sign(held, lifetime_seconds=3600).text,
        "another one's signature": f"{head}.{payload}.{other[2]}",
        "another one's payload": f"{head}.{other[1]}.{signature}",
        "unsigned": f"{head}.{payload}.",
        "a receipt": keyring.signer("blobsvc").sign(receipt).text,
        "a registry token": keyring.registry_token((REPOSITORY, "pull,push", 1)),
    }


async def test_no_bad_ticket_opens_an_upload(client: Client) -> None:
    ticket = await client.start()
    for what, bad in bad_tickets(client.keyring, ticket).items():
        with refused("TICKET_INVALID") as refusal:
            await client.write(bad)
        assert bad == "" or bad not in refusal.message, what
        for step in (client.status, client.finish, client.cancel):
            with refused("TICKET_INVALID"):
                await step(bad)
    assert await client.write(ticket) == len(DATA)


async def test_a_ticket_under_another_repository_names_no_upload(client: Client) -> None:
    ticket = await client.start()
    await client.write(ticket, repository=REPOSITORY)
    for step in (client.write, client.status, client.finish, client.cancel):
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await step(ticket, repository="library/other")
    assert await client.status(ticket, repository=REPOSITORY) == len(DATA)


async def test_a_ticket_for_an_upload_that_never_was_names_none(client: Client) -> None:
    for upload_id in ("0" * 32, "../../etc", "x"):
        with refused("BLOB_UPLOAD_UNKNOWN"):
            await client.write(client.keyring.ticket(upload_id))


def bad_tokens(keyring: Keyring) -> dict[str, tuple[str, Metadata]]:
    """What must not go on with the upload of user 7, by what is wrong with it: the refusal and the metadata."""
    push = Access("repository", REPOSITORY, frozenset({"push"}), 1)
    began = RegistryToken(subject="user:7", access=(push,))
    identity = IdentityToken(subject="user:7", kind="user", id=7, name="alice")
    return {
        "none": ("UNAUTHORIZED", ()),
        "nonsense": ("UNAUTHORIZED", bearer("nonsense")),
        "expired before the upload began": (
            "UNAUTHORIZED",
            bearer(keyring.registry_token((REPOSITORY, "push", 1), expired_seconds=3600)),
        ),
        "forged": ("UNAUTHORIZED", bearer(keyring.stranger("authsvc").sign(began).text)),
        "an identity token": ("UNAUTHORIZED", bearer(keyring.signer("authsvc").sign(identity).text)),
        "a service's": ("UNAUTHORIZED", from_service(keyring.service_token("gateway"))),
        "another one's": (
            "TICKET_INVALID",
            bearer(keyring.registry_token((REPOSITORY, "pull,push", 1), subject="user:8")),
        ),
        "a robot's of the same number": (
            "TICKET_INVALID",
            bearer(keyring.registry_token((REPOSITORY, "pull,push", 1), subject="robot:7")),
        ),
        "an anonymous one": ("INSUFFICIENT_SCOPE", bearer(keyring.registry_token(subject="anonymous"))),
        "without a right": ("INSUFFICIENT_SCOPE", bearer(keyring.registry_token())),
        "for pulls only": ("INSUFFICIENT_SCOPE", bearer(keyring.registry_token((REPOSITORY, "pull", 1)))),
        "for another repository": ("INSUFFICIENT_SCOPE", bearer(keyring.registry_token(("library/b", "push", 1)))),
        "for an earlier project of the name": (
            "INSUFFICIENT_SCOPE",
            bearer(keyring.registry_token((REPOSITORY, "push", 2))),
        ),
    }


@pytest.mark.parametrize(
    "what",
    [
        "none",
        "nonsense",
        "expired before the upload began",
        "forged",
        "an identity token",
        "a service's",
        "another one's",
        "a robot's of the same number",
        "an anonymous one",
        "without a right",
        "for pulls only",
        "for another repository",
        "for an earlier project of the name",
    ],
)
async def test_a_ticket_opens_nothing_without_a_token_of_its_owner(client: Client, what: str) -> None:
    ticket = await client.start()
    reason, metadata = bad_tokens(client.keyring)[what]
    with refused(reason):
        await client.write(ticket, metadata=metadata)
    for step in (client.status, client.finish, client.cancel):
        with refused(reason):
            await step(ticket, metadata)
    assert await client.status(ticket) == 0


async def test_an_upload_goes_on_with_a_token_that_has_expired_since_it_began(client: Client) -> None:
    keyring = client.keyring
    # Begun two hours ago, with a token that expired half an hour later.
    began_seconds_ago = 7200
    upload_id = keyring.verifier().verify(await client.start(), UploadTicket).upload_id
    ticket = keyring.ticket(upload_id, seconds_ago=began_seconds_ago)
    metadata = bearer(keyring.registry_token((REPOSITORY, "push", 1), expired_seconds=began_seconds_ago - 1800))
    with refused("UNAUTHORIZED"):
        await client.uploads.StartUpload(StartUploadRequest(repository=REPOSITORY), metadata=metadata)
    assert await client.write(ticket, metadata=metadata) == len(DATA)
    assert await client.status(ticket, metadata) == len(DATA)
    receipt = await client.finish(ticket, metadata)
    assert receipt.upload_time == pytest.approx(receipt.issued_time - began_seconds_ago, abs=5)


async def test_a_ticket_lives_a_day(client: Client) -> None:
    held = client.keyring.verifier().verify(await client.start(), UploadTicket)
    assert held.expire_time - held.issued_time == 24 * 3600


def bad_grants(keyring: Keyring, key: BlobKey, size: int) -> dict[str, str]:
    """Grants that must not count, by what is wrong with each."""
    good = keyring.grant(key, size)
    held = keyring.verifier().verify(good, Grant)
    expired = keyring.signer("metasvc", seconds_ago=7200)
    forger = keyring.stranger("metasvc")
    own = keyring.signer("metasvc", key_of="blobsvc")
    head, payload, _ = good.split(".")
    return {
        "nothing": "",
        "expired": expired.sign(held).text,
        "forged": forger.sign(held).text,
        "blobsvc's own": own.sign(held).text,
        "unsigned": f"{head}.{payload}.",
        "a ticket": keyring.ticket("0" * 32),
        "somebody else's": keyring.grant(key, size, subject="user:8"),
        "nobody's": keyring.grant(key, size, subject="anonymous"),
    }


async def test_no_bad_grant_opens_a_blob(client: Client) -> None:
    key = await client.push()
    for what, bad in bad_grants(client.keyring, key, len(DATA)).items():
        with refused("GRANT_INVALID"):
            assert await client.read(bad) is None, what
        with refused("GRANT_INVALID"):
            assert await client.stat(bad) is None, what
        with refused("GRANT_INVALID"):
            assert await client.locate(bad) is None, what
    assert await client.locate(client.keyring.grant(key, len(DATA))) == ["file", "stream"]
    assert await client.stat(client.keyring.grant(key, len(DATA))) == len(DATA)


async def test_a_grant_that_was_overheard_opens_nothing(client: Client) -> None:
    key = await client.push()
    grant = client.keyring.grant(key, len(DATA), subject="user:7")
    thief = client.keyring.registry_token((REPOSITORY, "pull", 1), subject="user:8")
    with refused("GRANT_INVALID"):
        await client.read(grant, thief)
    with refused("GRANT_INVALID"):
        await client.locate(grant, thief)
    with refused("GRANT_INVALID"):
        await client.read(grant, "not a token at all")


async def test_a_grant_for_anonymous_callers_serves_those_without_a_token(client: Client) -> None:
    key = await client.push()
    request = StatBlobRequest(grant=client.keyring.grant(key, len(DATA), subject="anonymous"))
    assert (await client.blobs.StatBlob(request)).blob.size_bytes == len(DATA)


async def test_knowing_a_digest_opens_nothing(client: Client) -> None:
    key = await client.push()
    with refused("GRANT_INVALID"):
        await client.read(str(key.digest), client.keyring.registry_token((REPOSITORY, "pull,push", 1)))


async def test_a_blob_that_is_not_what_the_grant_says_is_damaged_and_a_finding_says_how(client: Client) -> None:
    key = await client.push()
    other = replace(key, digest=Digest.of(b"other", SHA512))
    for named, size, damage in ((key, len(DATA) + 1, "size"), (key, 1, "size"), (other, len(DATA), "missing")):
        grant = client.keyring.grant(named, size)
        for ask in (client.read, client.stat, client.locate):
            with refused("BLOB_DAMAGED") as caught:
                await ask(grant)
            finding = client.keyring.verifier().verify(caught.metadata["finding"], Finding)
            assert (finding.digest, finding.generation, finding.damage) == (
                str(named.digest),
                named.generation.number,
                damage,
            )
            assert (finding.subject, finding.store_id != "") == ("service:blobsvc", True)


async def test_lists_deletes_and_stats_of_many_are_for_metasvc_and_the_collector_alone(
    service: Service, client: Client
) -> None:
    key = await client.push()
    delete = DeleteBlobRequest(digest=str(key.digest), generation=key.generation.number)
    stat = StatBlobsRequest(blobs=[BlobGeneration(digest=str(key.digest), generation=key.generation.number)])
    for caller in (None, "gateway", "authsvc", "blobsvc"):
        tokens = None if caller is None else service.keyring.service_tokens(caller)
        async with open_channel(service.target, service_tokens=tokens) as channel:
            blobs = BlobServiceStub(channel)
            with refused("UNAUTHORIZED", "FORBIDDEN"):
                await blobs.ListBlobs(ListBlobsRequest())
            with refused("UNAUTHORIZED", "FORBIDDEN"):
                await blobs.DeleteBlob(delete)
            with refused("UNAUTHORIZED", "FORBIDDEN"):
                await blobs.StatBlobs(stat)
    assert await client.stat(client.keyring.grant(key, len(DATA))) == len(DATA)
