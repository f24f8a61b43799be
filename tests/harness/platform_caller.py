"""A push over gRPC, step by step, by a platform that calls the services directly with a registry token."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import grpc

from roadstead.auth.v1.token_pb2 import Credentials
from roadstead.auth.v1.token_service_pb2 import CreateRegistryTokenRequest
from roadstead.auth.v1.token_service_pb2_grpc import TokenServiceStub
from roadstead.blob.v1.blob_service_pb2 import ReadBlobRequest
from roadstead.blob.v1.blob_service_pb2_grpc import BlobServiceStub
from roadstead.blob.v1.upload_service_pb2 import (
    FinishUploadRequest,
    GetUploadStatusRequest,
    StartUploadRequest,
    WriteUploadRequest,
)
from roadstead.blob.v1.upload_service_pb2_grpc import UploadServiceStub
from roadstead.meta.v1.blob_link_service_pb2 import LinkBlobRequest, ResolveBlobRequest
from roadstead.meta.v1.blob_link_service_pb2_grpc import BlobLinkServiceStub
from roadstead.meta.v1.manifest_service_pb2 import PutManifestRequest, ResolveManifestRequest
from roadstead.meta.v1.manifest_service_pb2_grpc import ManifestServiceStub
from roadstead.meta.v1.tag_service_pb2 import ListTagNamesRequest
from roadstead.meta.v1.tag_service_pb2_grpc import TagServiceStub
from tests.harness.claims import claims_of
from tests.harness.images import Image, digest_of
from tests.harness.services import open_channel

# As long as tests wait for anything (tests.harness.waiting), because the machine may be busy with other runs.
ANSWER_SECONDS = 60.0
_MESSAGE_BYTES = 1024 * 1024


class Step(Enum):
    """The steps of a push."""

    START = "StartUpload"
    BYTES = "bytes"
    FINISH = "FinishUpload"
    LINK = "LinkBlob"
    PUT = "PutManifest"

    @property
    def service(self) -> str:
        """The service that does the step."""
        return "metasvc" if self in {Step.LINK, Step.PUT} else "blobsvc"


class Platform:
    """Calls with the token of one repository. If a service is away, calls wait for it."""

    def __init__(self, token: str, channels: Mapping[str, grpc.Channel]) -> None:
        """`calling_platform` builds it."""
        self._channels = channels
        self._metadata = (("authorization", f"Bearer {token}"),)
        self.uploads = UploadServiceStub(channels["blobsvc"])
        self.blobs = BlobServiceStub(channels["blobsvc"])
        self.links = BlobLinkServiceStub(channels["metasvc"])
        self.manifests = ManifestServiceStub(channels["metasvc"])
        self.tags = TagServiceStub(channels["metasvc"])

    def connect(self, service: str) -> None:
        """Waits until there is a connection to a service."""
        grpc.channel_ready_future(self._channels[service]).result(ANSWER_SECONDS)

    def begin(self, method: Any, request: Any) -> Any:
        """Sends a request, and returns the future of its answer."""
        return method.future(request, metadata=self._metadata, timeout=ANSWER_SECONDS, wait_for_ready=True)

    def call(self, method: Any, request: Any) -> Any:
        """Sends a request, and waits for its answer."""
        return self.begin(method, request).result()

    def refusal(self, method: Any, request: Any) -> grpc.StatusCode | None:
        """The code with which a request is refused; None if it succeeds."""
        code: grpc.StatusCode = self.begin(method, request).code()
        return None if code is grpc.StatusCode.OK else code

    def read(self, repository: str, digest: str) -> bytes:
        """The bytes of a blob, as they are pulled."""
        grant = self.call(self.links.ResolveBlob, ResolveBlobRequest(repository=repository, digest=digest)).grant
        stream = self.blobs.ReadBlob(
            ReadBlobRequest(grant=grant), metadata=self._metadata, timeout=ANSWER_SECONDS, wait_for_ready=True
        )
        return b"".join(answer.data for answer in stream)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository serves a blob."""
        return self._found(self.links.ResolveBlob, ResolveBlobRequest(repository=repository, digest=digest))

    def has_manifest(self, repository: str, reference: str) -> bool:
        """Whether the repository serves a manifest."""
        request = ResolveManifestRequest(repository=repository, reference=reference, omit_content=True)
        return self._found(self.manifests.ResolveManifest, request)

    def manifest(self, repository: str, reference: str) -> bytes:
        """The bytes of a manifest."""
        request = ResolveManifestRequest(repository=repository, reference=reference)
        content: bytes = self.call(self.manifests.ResolveManifest, request).manifest.content
        return content

    def tag_names(self, repository: str) -> list[str]:
        """The tags of a repository."""
        return list(self.call(self.tags.ListTagNames, ListTagNamesRequest(repository=repository)).names)

    def _found(self, method: Any, request: Any) -> bool:
        code = self.refusal(method, request)
        assert code in {None, grpc.StatusCode.NOT_FOUND}, code
        return code is None


@dataclass
class Push:
    """A push of an image with one layer. The layer is pushed step by step.

    Attributes:
        platform: that pushes.
        repository: full name.
        image: its config is pushed whole, before the manifest.
        tag: of the manifest.
        ticket: of the layer's upload.
        receipt: of the layer.
        generation: that the receipt names.
        has_config: whether the config is pushed.
    """

    platform: Platform
    repository: str
    image: Image
    tag: str = "v1"
    ticket: str = field(default="", repr=False)
    receipt: str = field(default="", repr=False)
    generation: int = 0
    has_config: bool = False

    @property
    def layer(self) -> bytes:
        """The bytes of the layer."""
        return self.image.blobs[self.layer_digest]

    @property
    def layer_digest(self) -> str:
        """The digest of the layer."""
        [layer] = self.image.layers
        digest: str = layer["digest"]
        return digest

    def do(self, *steps: Step) -> None:
        """Does steps, one after the other."""
        for step in steps:
            self.note(step, self.begin(step).result())

    def begin(self, step: Step) -> Any:
        """Sends the request of a step, and returns the future of its answer."""
        platform = self.platform
        match step:
            case Step.START:
                return platform.begin(platform.uploads.StartUpload, StartUploadRequest(repository=self.repository))
            case Step.BYTES:
                return platform.begin(platform.uploads.WriteUpload, messages(self.ticket, 0, self.layer))
            case Step.FINISH:
                return platform.begin(platform.uploads.FinishUpload, self.finish_request())
            case Step.LINK:
                return platform.begin(
                    platform.links.LinkBlob, LinkBlobRequest(receipt=self.receipt, repository=self.repository)
                )
            case Step.PUT:
                request = PutManifestRequest(
                    repository=self.repository,
                    reference=self.tag,
                    media_type=self.image.media_type,
                    content=self.image.manifest,
                )
                return platform.begin(platform.manifests.PutManifest, request)

    def note(self, step: Step, answer: Any) -> None:
        """Records the answer of a step, of the first attempt or of a repeat, and checks it."""
        match step:
            case Step.START:
                assert answer.upload.committed_size_bytes == 0
                self.ticket = answer.upload.ticket
            case Step.BYTES:
                assert answer.committed_size_bytes == len(self.layer)
            case Step.FINISH:
                assert answer.size_bytes == len(self.layer)
                claims = claims_of(answer.receipt)
                assert (claims["digest"], claims["size"]) == (self.layer_digest, len(self.layer))
                assert self.generation in {0, claims["generation"]}, "a repeated finish is the same generation"
                self.receipt, self.generation = answer.receipt, claims["generation"]
            case Step.LINK:
                assert (answer.digest, answer.size_bytes) == (self.layer_digest, len(self.layer))
            case Step.PUT:
                assert (answer.digest, list(answer.tags)) == (self.image.digest, [self.tag])

    def committed_bytes(self) -> int:
        """The committed size of the layer's upload."""
        request = GetUploadStatusRequest(ticket=self.ticket, repository=self.repository)
        size: int = self.platform.call(self.platform.uploads.GetUploadStatus, request).committed_size_bytes
        return size

    def send_the_rest(self) -> None:
        """Sends the bytes of the layer that are still missing."""
        uploads, committed = self.platform.uploads, self.committed_bytes()
        answer = self.platform.call(uploads.WriteUpload, messages(self.ticket, committed, self.layer[committed:]))
        self.note(Step.BYTES, answer)

    def do_again(self, step: Step) -> None:
        """Repeats a step. Bytes are sent from the committed size; all other steps are sent unchanged."""
        if step is Step.BYTES:
            self.send_the_rest()
        else:
            self.do(step)

    def finish_request(self) -> FinishUploadRequest:
        """The request that finishes the layer's upload."""
        return FinishUploadRequest(
            ticket=self.ticket,
            repository=self.repository,
            digest=self.layer_digest,
            expected_size_bytes=len(self.layer),
        )

    def push_config(self) -> None:
        """Pushes the config, whole, unless that is done already."""
        if self.has_config:
            return
        content = self.image.blobs[self.image.config["digest"]]
        platform, repository = self.platform, self.repository
        ticket = platform.call(platform.uploads.StartUpload, StartUploadRequest(repository=repository)).upload.ticket
        platform.call(platform.uploads.WriteUpload, messages(ticket, 0, content))
        request = FinishUploadRequest(ticket=ticket, repository=repository, digest=digest_of(content))
        receipt = platform.call(platform.uploads.FinishUpload, request).receipt
        platform.call(platform.links.LinkBlob, LinkBlobRequest(receipt=receipt, repository=repository))
        self.has_config = True


@contextmanager
def calling_platform(addresses: Mapping[str, str], repository: str, username: str, secret: str) -> Iterator[Platform]:
    """A platform with a token to push to a repository and pull from it.

    Args:
        addresses: of authsvc, metasvc and blobsvc.
        repository: full name.
        username: who asks for the token.
        secret: of that user.
    """
    channels = {name: open_channel(address) for name, address in addresses.items()}
    try:
        request = CreateRegistryTokenRequest(
            credentials=Credentials(password=Credentials.Password(username=username, secret=secret)),
            scopes=[f"repository:{repository}:pull,push"],
        )
        tokens = TokenServiceStub(channels["authsvc"])
        token = tokens.CreateRegistryToken(request, timeout=ANSWER_SECONDS, wait_for_ready=True).token
        yield Platform(token, channels)
    finally:
        for channel in channels.values():
            channel.close()


def messages(ticket: str, offset: int, content: bytes) -> Iterator[WriteUploadRequest]:
    """A stream of WriteUpload."""
    yield WriteUploadRequest(header=WriteUploadRequest.Header(ticket=ticket, offset=offset))
    for start in range(0, len(content), _MESSAGE_BYTES):
        yield WriteUploadRequest(data=content[start : start + _MESSAGE_BYTES])
