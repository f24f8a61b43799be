"""A metasvc without its network: the domain on a real store, a directory of projects, and a clock that tests move."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from metasvc.domain.blob_link import FinishedBlob, link_blob, mount_blob, unlink_blob
from metasvc.domain.blob_read import resolve_blob
from metasvc.domain.condition import Conditions
from metasvc.domain.manifest import delete_manifest
from metasvc.domain.manifest_push import ManifestPush, PushedManifest, put_manifest
from metasvc.domain.manifest_read import resolve_manifest
from metasvc.domain.model import ChangeKind, ServedBlob, StoredManifest, WantedBlob, WantedManifest
from metasvc.domain.ports import Ports
from metasvc.domain.review import ReviewPolicy
from metasvc.domain.settled import SettledGenerations
from metasvc.domain.store_memory import StoreMemory
from metasvc.store.tables import CHANGES
from metasvc.store.unit_of_work import SqlStore
from svckit.access.actor import Actor, ChangeOrigin
from svckit.access.decision import AccessibleProjects
from svckit.change import CommittedChange
from svckit.errors import NotFound
from svckit.listing import ListRequest
from svckit.oci import media_types
from svckit.oci.reference import Reference, Tag
from svckit.sql.database import Database
from tests.contract.metasvc.stored_bytes import Bytes, Findings
from tests.harness.keyring import SUBJECT

MIB = 1024 * 1024
POLICY = ReviewPolicy(delay_seconds=24 * 3600, push_grace_seconds=2 * 3600)
NO_PROJECTS = AccessibleProjects(all=False, project_ids=frozenset())
START = datetime(2026, 1, 1, tzinfo=UTC)
IDEMPOTENCY_KEY_SECONDS = 24 * 3600
ORIGIN = ChangeOrigin(Actor("user", 7, "ann"), "request-1", "192.0.2.1", "token-1")
"""Who pushes and deletes, unless a test says otherwise."""
OTHER_ORIGIN = ChangeOrigin(Actor("user", 9, "ben"))


def digest_of(content: bytes) -> str:
    """The sha256 of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def asked(**request: Any) -> ListRequest:
    """A request for a page of a list, with the total unless said."""
    return ListRequest(**{"with_total": True, **request})


def blob_digest(name: str) -> str:
    """A digest for a blob whose bytes nobody needs."""
    return digest_of(name.encode())


class Directory:
    """The projects of authsvc, in memory; see `domain.ports.ProjectDirectory`."""

    def __init__(self) -> None:
        self.projects: dict[int, tuple[str, int]] = {1: ("alpha", -1), 2: ("beta", -1), 3: ("small", 1000)}
        self.deleted: list[int] = []
        self.failure: Exception | None = None
        self.refused: set[str] = set()
        self.may_push_anywhere = False

    async def may_push(self, subject: str, project_id: int) -> bool:
        return (self.may_push_anywhere or project_id in self.projects) and subject not in self.refused

    async def look_up(self, project_id: int) -> tuple[str, int]:
        if project_id not in self.projects:
            raise NotFound("PROJECT_UNKNOWN")
        return self.projects[project_id]

    async def ids(self) -> AsyncIterator[int]:
        for project_id in list(self.projects):
            yield project_id

    async def delete(self, project_id: int) -> None:
        if self.failure is not None:
            raise self.failure
        self.projects.pop(project_id, None)
        self.deleted.append(project_id)


@dataclass
class Configs:
    """The bytes of blobsvc, in memory; see `domain.ports.ConfigReader`.

    Attributes:
        contents: by digest; every other config is empty.
        asked: the digests that were asked for.
        failure: raised instead of an answer.
        before_answer: done before an answer is given.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failure: Exception | None = None
    before_answer: Callable[[], Awaitable[object]] | None = None

    async def read(self, blob: ServedBlob, *, project_id: int, repository: str) -> bytes:
        self.asked.append(blob.digest)
        if self.before_answer is not None:
            await self.before_answer()
        if self.failure is not None:
            raise self.failure
        return self.contents.get(blob.digest, b"")


@dataclass
class Layers:
    """The bytes of blobsvc, in memory; see `domain.ports.LayerReader`.

    Attributes:
        contents: by digest.
        asked: the digests that were opened.
        read_bytes: how many bytes were read.
        failure: raised by the second piece.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    read_bytes: int = 0
    failure: Exception | None = None

    @asynccontextmanager
    async def open(self, blob: ServedBlob, *, project_id: int, repository: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked.append(blob.digest)
        yield self._pieces(self.contents[blob.digest])

    async def _pieces(self, content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            if self.failure is not None and start:
                raise self.failure
            self.read_bytes += len(content[start : start + 1000])
            yield content[start : start + 1000]


@dataclass
class Visible:
    """The projects whose repositories the caller may list; see `domain.lists.VisibleProjects`."""

    projects: AccessibleProjects = NO_PROJECTS
    public_projects: AccessibleProjects = NO_PROJECTS
    all_projects: int = 0

    async def listable(self) -> AccessibleProjects:
        return self.projects

    async def public(self) -> AccessibleProjects:
        return self.public_projects

    async def project_count(self) -> int:
        return self.all_projects


@dataclass
class Rights:
    """What the caller of a mount may pull; see `domain.ports.PullRights`."""

    named: dict[str, int] = field(default_factory=dict)

    async def sources(self, repository: str | None) -> Sequence[tuple[int, str]]:
        if repository is None:
            return [(project_id, name) for name, project_id in self.named.items()]
        return [(self.named[repository], repository)] if repository in self.named else []


@dataclass(frozen=True)
class Image:
    """A manifest and the blobs that it names."""

    content: bytes
    media_type: str
    blobs: Mapping[str, int]

    @property
    def digest(self) -> str:
        return digest_of(self.content)


def descriptor(name: str, size: int = 100, media_type: str = media_types.OCI_LAYER_GZIP, **more: Any) -> dict[str, Any]:
    """A descriptor of a blob with this name."""
    return {"mediaType": media_type, "digest": blob_digest(name), "size": size, **more}


def image(name: str, *, layers: Sequence[str] = ("base",), layer_size: int = 100, **more: Any) -> Image:
    """An OCI image whose config is its own, with the layers of these names."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(f"config of {name}", 10, media_types.OCI_CONFIG),
        "layers": [descriptor(layer, layer_size) for layer in layers],
        **more,
    }
    blobs = {blob_digest(f"config of {name}"): 10} | {blob_digest(layer): layer_size for layer in layers}
    return Image(json.dumps(document).encode(), media_types.OCI_MANIFEST, blobs)


def index(children: Sequence[Image], **more: Any) -> Image:
    """An OCI index of some images, each for a platform."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [
            {
                "mediaType": child.media_type,
                "digest": child.digest,
                "size": len(child.content),
                "platform": {"os": "linux", "architecture": f"arch{position}"},
            }
            for position, child in enumerate(children)
        ],
        **more,
    }
    return Image(json.dumps(document).encode(), media_types.OCI_INDEX, {})


class World:
    """Use cases with their ports filled in."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqlStore(database, idempotency_key_seconds=IDEMPOTENCY_KEY_SECONDS)
        self.directory = Directory()
        self.configs = Configs()
        self.layers = Layers()
        self.bytes = Bytes(database)
        self.findings = Findings()
        self.visible = Visible()
        self.rights = Rights()
        self.now = START
        self.held_bytes: list[int] = []
        self.ports = Ports(
            store=self.store,
            directory=self.directory,
            configs=self.configs,
            layers=self.layers,
            bytes=self.bytes,
            store_memory=StoreMemory(),
            settled=SettledGenerations(self.bytes),
            blob_log=self.findings,
            visible=self.visible,
            review_policy=POLICY,
            clock=self.clock,
            manifest_max_bytes=4 * MIB,
            delete_enabled=True,
            delete_blobs_in_use=False,
        )

    def clock(self) -> datetime:
        return self.now

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    async def link(
        self,
        repository: str,
        digest: str,
        *,
        size: int = 100,
        generation: int = 1,
        project_id: int = 1,
        subject: str = SUBJECT,
    ) -> None:
        finished = FinishedBlob(project_id, repository, digest, generation, size, subject)
        await link_blob(self.ports, finished)

    async def mount(
        self, repository: str, digest: str, from_repository: str | None = None, *, project_id: int = 1
    ) -> int | None:
        return await mount_blob(
            self.ports,
            self.rights,
            project_id=project_id,
            repository=repository,
            digest=digest,
            from_repository=from_repository,
        )

    async def resolve_blob(self, repository: str, digest: str, *, project_id: int = 1) -> ServedBlob:
        return await resolve_blob(self.ports, WantedBlob(project_id, repository, digest))

    async def unlink(self, repository: str, digest: str, *, project_id: int = 1) -> None:
        await unlink_blob(self.ports, project_id=project_id, repository=repository, digest=digest)

    async def put(
        self,
        repository: str,
        pushed: Image,
        reference: str | None = None,
        *,
        tags: Sequence[str] = (),
        if_match: Sequence[str] = (),
        if_none_match: Sequence[str] = (),
        media_type: str | None = None,
        project_id: int = 1,
        max_bytes: int = 4 * MIB,
        config: bytes = b"",
    ) -> PushedManifest:
        push = ManifestPush(
            project_id=project_id,
            repository=repository,
            reference=Reference.parse(reference or pushed.digest),
            media_type=pushed.media_type if media_type is None else media_type,
            content=pushed.content,
            tags=tuple(map(Tag.parse, tags)),
            conditions=Conditions(tuple(if_match), tuple(if_none_match)),
            config=config,
        )
        return await put_manifest(replace(self.ports, manifest_max_bytes=max_bytes), push, ORIGIN)

    async def push(
        self,
        repository: str,
        pushed: Image,
        reference: str | None = None,
        *,
        generation: int = 1,
        project_id: int = 1,
    ) -> PushedManifest:
        """Links the blobs and puts the manifest, as clients do."""
        for digest, size in pushed.blobs.items():
            await self.link(repository, digest, size=size, generation=generation, project_id=project_id)
        return await self.put(repository, pushed, reference, project_id=project_id)

    async def resolve(
        self, repository: str, reference: str, *, content: bool = True, project_id: int = 1
    ) -> StoredManifest:
        wanted = WantedManifest(project_id, repository, Reference.parse(reference), content)
        return await resolve_manifest(self.ports, wanted, self.held_bytes.append)

    async def delete(
        self,
        repository: str,
        reference: str,
        *,
        project_id: int = 1,
        if_match: Sequence[str] = (),
        if_none_match: Sequence[str] = (),
    ) -> None:
        await delete_manifest(
            self.ports,
            project_id=project_id,
            repository=repository,
            reference=Reference.parse(reference),
            origin=ORIGIN,
            conditions=Conditions(tuple(if_match), tuple(if_none_match)),
        )

    async def changes(self) -> tuple[CommittedChange[ChangeKind], ...]:
        """The change log, from its beginning."""
        async with self.database.read() as conn:
            position = await CHANGES.position(conn)
            return (await CHANGES.read(conn, replace(position, revision=0))).changes

    async def rows(self, sql: str, **values: object) -> list[Any]:
        async with self.database.read() as conn:
            return list((await conn.execute(text(sql), values)).all())

    async def value(self, sql: str, **values: object) -> Any:
        (row,) = await self.rows(sql, **values)
        return row[0]

    async def execute(self, sql: str, **values: object) -> None:
        async with self.database.write() as conn:
            await conn.execute(text(sql), values)
            await conn.commit()

    async def used_bytes(self, project_id: int = 1) -> int:
        used = await self.value("SELECT used_bytes FROM project WHERE id = :id", id=project_id)
        charged = await self.value(
            "SELECT coalesce(sum(size), 0) FROM project_blob WHERE project_id = :id", id=project_id
        )
        assert used == charged, "the usage is not the sum of what is charged"
        return int(used)
