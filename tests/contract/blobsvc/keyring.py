"""The keys of an installation, for tests: every service has a pair, and each trusts all others."""

from dataclasses import dataclass
from pathlib import Path

from blobsvc.domain.model import BlobKey, Upload
from svckit.keys import KeyPair
from svckit.services import NAMES
from svckit.tokens import Access, Grant, RegistryToken, UploadTicket
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE
from svckit.tokens.signer import ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle


@dataclass(frozen=True)
class Keyring:
    """Signs whatever any service may sign."""

    trust: TrustBundle
    keypairs: dict[str, KeyPair]

    @classmethod
    def make(cls, folder: Path) -> "Keyring":
        trust = TrustBundle(folder / "trust")
        keypairs = {service: KeyPair.generate() for service in NAMES}
        for service, keypair in keypairs.items():
            trust.publish(service, keypair)
        return cls(trust, keypairs)

    def signer(self, service: str) -> TokenSigner:
        return TokenSigner(service, self.keypairs[service])

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(self.trust)

    def service_tokens(self, service: str) -> ServiceTokenSource:
        return ServiceTokenSource(self.signer(service))

    def registry_token(
        self,
        repository: str,
        *actions: str,
        project_id: int = 1,
        subject: str = "user:7",
        audience: str = DEFAULT_REGISTRY_AUDIENCE,
    ) -> str:
        access = (Access("repository", repository, frozenset(actions), project_id),)
        signer = TokenSigner("authsvc", self.keypairs["authsvc"], registry_audience=audience)
        return signer.sign(RegistryToken(subject=subject, access=access)).text

    def ticket(
        self, upload_id: str, repository: str = "library/app", *, project_id: int = 1, subject: str = "user:7"
    ) -> str:
        claims = UploadTicket(subject=subject, upload_id=upload_id, repository=repository, project_id=project_id)
        return self.signer("blobsvc").sign(claims, lifetime_seconds=600).text

    def ticket_of(self, upload: Upload) -> str:
        owner = upload.owner
        return self.ticket(str(upload.id), owner.repository, project_id=owner.project_id, subject=owner.subject)

    def grant(
        self, key: BlobKey, size: int, *, repository: str = "library/app", project_id: int = 1, subject: str = "user:7"
    ) -> str:
        claims = Grant(
            subject=subject,
            repository=repository,
            project_id=project_id,
            digest=str(key.digest),
            generation=key.generation.number,
            size=size,
        )
        return self.signer("metasvc").sign(claims).text
