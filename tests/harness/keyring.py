"""The keys of an installation, and tokens that are signed with them."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from blobsvc.domain.model import BlobKey, Upload
from svckit import keys
from svckit.actor import Actor
from svckit.keys import KeyPair
from svckit.services import NAMES
from svckit.tokens import (
    Access,
    ActingToken,
    Claims,
    Damage,
    Finding,
    Grant,
    IdentityToken,
    Receipt,
    RegistryToken,
    ServiceToken,
    UploadTicket,
)
from svckit.tokens.claims import DEFAULT_REGISTRY_AUDIENCE
from svckit.tokens.signer import ActingTokenSource, ServiceTokenSource, TokenSigner
from svckit.tokens.verifier import TokenVerifier
from svckit.trust import TrustBundle

Metadata = tuple[tuple[str, str], ...]

USER_ID = 7
SUBJECT = f"user:{USER_ID}"
REPOSITORY = "library/app"


class Keyring:
    """Every service has a key pair, and each trusts all others.

    Attributes:
        folder: the folder of the trust bundle.
        trust: the bundle.
        keypairs: by service.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        *,
        keypairs: Mapping[str, KeyPair] | None = None,
    ) -> None:
        """Makes the keys, if none are given, and the trust bundle.

        Args:
            folder: for the trust bundle. If it has keys of a service already, these stay.
            clock: for all signers and verifiers, in seconds since the epoch.
            keypairs: the key pairs of all services.
        """
        self.folder = folder
        self.keypairs = keypairs or {service: KeyPair.generate() for service in NAMES}
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)
        for service, keypair in self.keypairs.items():
            file = folder / f"{service}.jwks.json"
            if not file.exists():
                # Not `TrustBundle.publish`: it flushes each file to the disk, which takes longer than a small test.
                file.write_text(json.dumps({"keys": [keypair.to_jwk()]}))
        self.trust = TrustBundle(folder)

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """The keyring of an installation. A planned service gets a key too, which the installation trusts.

        Args:
            data_dir: of the installation.
        """
        files = {service: data_dir / "keys" / f"{service}.pem" for service in sorted(NAMES)}
        return cls(data_dir / "trust", keypairs={service: keys.load_or_create(file) for service, file in files.items()})

    def signer(
        self,
        service: str,
        *,
        key_of: str | None = None,
        seconds_ago: float = 0,
        registry_audience: str = DEFAULT_REGISTRY_AUDIENCE,
    ) -> TokenSigner:
        """Signs as a service.

        Args:
            service: the issuer.
            key_of: the service whose key is used, if it is not the issuer.
            seconds_ago: how old the token seems to be.
            registry_audience: the audience of registry tokens.
        """
        return TokenSigner(
            service,
            self.keypairs[key_of or service],
            lambda: self._clock() - seconds_ago,
            registry_audience=registry_audience,
        )

    def stranger(self, service: str) -> TokenSigner:
        """Signs in the name of a service with a key that nobody trusts."""
        return TokenSigner(service, KeyPair.generate(), self._clock)

    def verifier(self) -> TokenVerifier:
        """A new verifier with an empty cache."""
        return TokenVerifier(self.trust, self._clock)

    def service_tokens(self, service: str) -> ServiceTokenSource:
        """The source of service tokens for a channel of a service."""
        return ServiceTokenSource(self.signer(service), self._clock)

    def acting_tokens(self, service: str, audience: str) -> ActingTokenSource:
        """The source of acting tokens for a channel on which a service acts for itself."""
        return ActingTokenSource(self.signer(service), audience, self._clock)

    def sign(
        self, service: str, claims: Claims, *, lifetime_seconds: int | None = None, audience: str | None = None
    ) -> str:
        """A token of any kind."""
        return self.signer(service).sign(claims, lifetime_seconds=lifetime_seconds, audience=audience).text

    def registry_token(
        self,
        *access: tuple[str, str, int],
        subject: str = SUBJECT,
        audience: str = DEFAULT_REGISTRY_AUDIENCE,
        expired_seconds: int = 0,
    ) -> str:
        """A registry token for some repositories: the name, the actions separated by commas, and the project's id.

        With `expired_seconds` it expired so long ago. Verifiers accept it for another minute, as clocks differ.
        """
        claims = RegistryToken(
            subject=subject,
            access=tuple(
                Access("repository", name, frozenset(actions.split(",")), project_id)
                for name, actions, project_id in access
            ),
        )
        seconds_ago = expired_seconds and expired_seconds + (RegistryToken.lifetime_seconds or 0)
        return self.signer("authsvc", registry_audience=audience, seconds_ago=seconds_ago).sign(claims).text

    def catalog_token(self, user_id: int = 1) -> str:
        """A registry token that lists all repositories."""
        access = Access("registry", "catalog", frozenset({"*"}))
        return self.sign("authsvc", RegistryToken(subject=f"user:{user_id}", access=(access,)))

    def identity_token(self, user_id: int = USER_ID, *, name: str = "", is_admin: bool = False) -> str:
        """A user's identity token."""
        return self.sign("authsvc", identity(user_id, name=name, is_admin=is_admin))

    def robot_token(self, robot_id: int, name: str = "robot$ci") -> str:
        """A robot's identity token."""
        claims = IdentityToken(subject=f"robot:{robot_id}", kind="robot", id=robot_id, name=name)
        return self.sign("authsvc", claims)

    def service_token(self, service: str) -> str:
        """A service token."""
        return self.sign(service, ServiceToken(subject=f"service:{service}"))

    def acting_token(self, service: str, audience: str, on_behalf_of: Actor | None = None) -> str:
        """An acting token: a service acts for itself."""
        claims = ActingToken(subject=f"service:{service}", on_behalf_of=on_behalf_of)
        return self.sign(service, claims, audience=audience)

    def ticket(
        self,
        upload_id: str,
        repository: str = REPOSITORY,
        *,
        project_id: int = 1,
        subject: str = SUBJECT,
        lifetime_seconds: int = 600,
        seconds_ago: float = 0,
    ) -> str:
        """A ticket for an upload that began so long ago, signed by blobsvc. It is valid for `lifetime_seconds` more."""
        claims = UploadTicket(subject=subject, upload_id=upload_id, repository=repository, project_id=project_id)
        signer = self.signer("blobsvc", seconds_ago=seconds_ago)
        return signer.sign(claims, lifetime_seconds=lifetime_seconds + int(seconds_ago)).text

    def ticket_of(self, upload: Upload) -> str:
        """A ticket for the owner of an upload."""
        owner = upload.owner
        return self.ticket(str(upload.id), owner.repository, project_id=owner.project_id, subject=owner.subject)

    def finding(self, digest: str, generation: int = 1, damage: Damage = "digest") -> str:
        """A finding that a blob is damaged, signed by blobsvc."""
        claims = Finding(
            subject="service:blobsvc", digest=digest, generation=generation, damage=damage, store_id="store"
        )
        return self.sign("blobsvc", claims)

    def receipt(
        self,
        repository: str,
        digest: str,
        *,
        size: int = 100,
        generation: int = 1,
        project_id: int = 1,
        subject: str = SUBJECT,
        upload_time: int | None = None,
        signer: TokenSigner | None = None,
    ) -> str:
        """A receipt, signed by blobsvc or by another service in its name."""
        claims = Receipt(
            subject=subject,
            repository=repository,
            project_id=project_id,
            digest=digest,
            generation=generation,
            size=size,
            upload_time=int(self._clock()) if upload_time is None else upload_time,
        )
        return (signer or self.signer("blobsvc")).sign(claims).text

    def grant(
        self, key: BlobKey, size: int, *, repository: str = REPOSITORY, project_id: int = 1, subject: str = SUBJECT
    ) -> str:
        """A grant for a blob, signed by metasvc."""
        claims = Grant(
            subject=subject,
            repository=repository,
            project_id=project_id,
            digest=str(key.digest),
            generation=key.generation.number,
            size=size,
        )
        return self.sign("metasvc", claims)


def identity(user_id: int = USER_ID, *, name: str = "", is_admin: bool = False) -> IdentityToken:
    """The content of a user's identity token."""
    return IdentityToken(
        subject=f"user:{user_id}", kind="user", id=user_id, name=name or f"user{user_id}", is_admin=is_admin
    )


def bearer(token: str) -> Metadata:
    """The metadata of a call with a caller's token."""
    return (("authorization", f"Bearer {token}"),)


def from_service(token: str) -> Metadata:
    """The metadata of a call with a service token."""
    return (("x-roadstead-service", token),)
