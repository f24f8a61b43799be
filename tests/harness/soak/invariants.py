"""Checks after all work has ended: of the tables, of the disk, and over HTTP as an administrator."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.harness.images import digest_of
from tests.harness.meta_rows import MetaRows
from tests.harness.soak.client import RegistryClient
from tests.harness.soak.ledger import Ledger
from tests.harness.waiting import WaitTimeoutError, wait_until

# Interrupted deletions are taken up after 20 seconds, by a loop that looks every 10 seconds.
_DELETION_SECONDS = 45.0
_LINKS = """
SELECT repository.project_id, repository.name, repository_blob.digest, repository_blob.charged, blob.size
FROM repository_blob
JOIN repository ON repository.id = repository_blob.repository_id
JOIN blob ON blob.digest = repository_blob.digest
"""
_ARTIFACTS = "SELECT id, project_id, repository_id, repository_name, digest, manifest_size FROM artifact"
_BY_REPOSITORY = f"{_ARTIFACTS} ORDER BY repository_name"
_UNLINKED = """
SELECT artifact.repository_name, artifact.digest, artifact_blob.digest AS blob
FROM artifact_blob
JOIN artifact ON artifact.id = artifact_blob.artifact_id
LEFT JOIN repository_blob
    ON repository_blob.repository_id = artifact.repository_id AND repository_blob.digest = artifact_blob.digest
WHERE repository_blob.digest IS NULL
"""
_TAGS = """
SELECT tag.repository_id, repository.name AS repository, tag.name, artifact.digest
FROM tag
JOIN repository ON repository.id = tag.repository_id
JOIN artifact ON artifact.id = tag.artifact_id
"""
_HISTORY = "SELECT * FROM tag_history ORDER BY repository_id, name, revision"
_CHANGES = "SELECT * FROM change ORDER BY revision"


@dataclass(frozen=True)
class Invariants:
    """Checks everything. Each method returns the errors that it finds."""

    rows: MetaRows
    data_dir: Path
    ledger: Ledger

    def findings(self, admin: RegistryClient) -> Iterator[str]:
        """All errors."""
        yield from self.usages()
        yield from self.deleted_projects()
        yield from self.blob_files()
        yield from self.nothing_unasked()
        yield from self.tag_histories()
        yield from self.change_log()
        yield from self.readable(admin)

    def usages(self) -> Iterator[str]:
        """Each project is charged for each digest in it once, and for nothing else."""
        uses: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows.select(_LINKS):
            if row["charged"]:
                uses[row["project_id"]][row["digest"]].append(row["size"])
        for row in self.rows.select(_ARTIFACTS):
            uses[row["project_id"]][row["digest"]].append(row["manifest_size"])
        charged: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
        for row in self.rows.select("SELECT * FROM project_blob"):
            charged[row["project_id"]][row["digest"]] = (row["count"], row["size"])
        for project in self.rows.select("SELECT id, name, used_bytes, quota_bytes FROM project"):
            here = uses[project["id"]]
            expected = {digest: (len(sizes), sizes[0]) for digest, sizes in here.items()}
            for digest in expected.keys() | charged[project["id"]].keys():
                found = charged[project["id"]].get(digest)
                if found != expected.get(digest):
                    yield f"{project['name']} is charged {found} for {digest}, instead of {expected.get(digest)}"
            total = sum(sizes[0] for sizes in here.values())
            if project["used_bytes"] != total:
                yield f"{project['name']} uses {total} bytes, and {project['used_bytes']} are said"
            if 0 <= project["quota_bytes"] < project["used_bytes"]:
                yield f"{project['name']} is over its quota: {project['used_bytes']} of {project['quota_bytes']}"

    def deleted_projects(self) -> Iterator[str]:
        """A deletion that was begun is finished soon, and is in the change log once."""
        # A deletion that does not end is reported below.
        with suppress(WaitTimeoutError):
            wait_until(
                lambda: self.rows.count("project", "state = 'deleting'"),
                "projects to be deleted",
                wanted=lambda left: not left,
                seconds=_DELETION_SECONDS,
            )
        logged = Counter(row["project_id"] for row in self.rows.select(_CHANGES) if row["kind"] == "project_delete")
        for project in self.rows.select("SELECT id, name, state FROM project"):
            if project["state"] == "deleting":
                yield f"the deletion of {project['name']} has not come to its end"
            elif logged[project["id"]] != (project["state"] == "deleted"):
                yield f"{project['name']} is {project['state']}, and was deleted {logged[project['id']]} times"

    def blob_files(self) -> Iterator[str]:
        """The linked generation of a blob is complete on the disk."""
        for row in self.rows.select("SELECT digest, generation, size, state FROM blob"):
            if row["state"] != "live":
                yield f"nobody has condemned {row['digest']}, and it is {row['state']}"
            algorithm, _, encoded = row["digest"].partition(":")
            file = self.data_dir / "blobsvc" / "blobs" / algorithm / encoded[:2] / encoded / str(row["generation"])
            if not file.is_file():
                yield f"{row['digest']} has no generation {row['generation']} on the disk"
            elif file.stat().st_size != row["size"]:
                yield f"{file} has {file.stat().st_size} bytes, and {row['size']} are said"
            elif hashlib.new(algorithm, file.read_bytes()).hexdigest() != encoded:
                yield f"{file} holds other bytes"

    def nothing_unasked(self) -> Iterator[str]:
        """A repository holds only what a client has tried to push there."""
        for row in self.rows.select(_LINKS):
            if row["digest"] not in self.ledger.blobs[row["name"]]:
                yield f"nobody has pushed {row['digest']} to {row['name']}"
        for row in self.rows.select(_ARTIFACTS):
            if row["digest"] not in self.ledger.manifests[row["repository_name"]]:
                yield f"nobody has pushed the manifest {row['digest']} to {row['repository_name']}"
        for row in self.rows.select(_TAGS):
            if row["name"] not in self.ledger.tags[row["repository"]]:
                yield f"nobody has made the tag {row['repository']}:{row['name']}"

    def tag_histories(self) -> Iterator[str]:
        """The history of each tag has no gap, and ends with what the tag names."""
        named = {(row["repository_id"], row["name"]): row["digest"] for row in self.rows.select(_TAGS)}
        by_tag = groupby(self.rows.select(_HISTORY), lambda row: (row["repository_id"], row["name"]))
        for tag, moves in by_tag:
            last = ""
            for move in moves:
                if move["previous_digest"] != last:
                    yield f"{tag} moved from {move['previous_digest']} in {move['revision']}, and was at {last}"
                last = move["digest"]
            if last != named.pop(tag, ""):
                yield f"the history of {tag} ends at {last}"
        yield from (f"{tag} has no history" for tag in named)

    def change_log(self) -> Iterator[str]:
        """The change log has no gap in its revisions, and replaying it gives the present state."""
        manifests: set[tuple[str, str]] = set()
        tags: dict[tuple[str, str], str] = {}
        for expected, row in enumerate(self.rows.select(_CHANGES), start=1):
            if row["revision"] != expected:
                yield f"the change log has {row['revision']} where {expected} belongs"
                return
            yield from _apply(row, manifests, tags)
        stored = {(row["repository_name"], row["digest"]) for row in self.rows.select(_ARTIFACTS)}
        yield from (f"the change log and the tables differ in {each}" for each in manifests ^ stored)
        named = {(row["repository"], row["name"]): row["digest"] for row in self.rows.select(_TAGS)}
        yield from (f"the change log and the tables differ in {each}" for each in tags.items() ^ named.items())

    def readable(self, admin: RegistryClient) -> Iterator[str]:
        """Every visible manifest can be pulled, by tag and by digest, with all of its blobs."""
        yield from (f"a blob of this manifest is not linked: {row}" for row in self.rows.select(_UNLINKED))
        artifacts = groupby(self.rows.select(_BY_REPOSITORY), lambda row: row["repository_name"])
        tags = {(row["repository"], row["name"]): row["digest"] for row in self.rows.select(_TAGS)}
        for repository, stored in artifacts:
            admin.log_in(f"repository:{repository}:pull")
            for digest in [row["digest"] for row in stored]:
                yield from self._pulled(admin, repository, digest, digest)
            here = {name: digest for (where, name), digest in tags.items() if where == repository}
            if admin.tags(repository) != sorted(here):
                yield f"{repository} shows the tags {admin.tags(repository)}, and has {sorted(here)}"
            for name, digest in here.items():
                if (content := admin.manifest(repository, name)) is None or digest_of(content) != digest:
                    yield f"{repository}:{name} cannot be pulled"

    def _pulled(self, admin: RegistryClient, repository: str, reference: str, digest: str) -> Iterator[str]:
        known = self.ledger.manifests[repository].get(digest)
        if known is None:
            return
        if admin.manifest(repository, reference) != known.manifest:
            yield f"{repository}@{reference} cannot be pulled"
        for blob, content in known.blobs.items():
            if admin.blob(repository, blob) != content:
                yield f"{repository}@{reference} cannot be pulled for {blob}"


def _apply(row: dict[str, Any], manifests: set[tuple[str, str]], tags: dict[tuple[str, str], str]) -> Iterator[str]:
    """Applies one row of the change log, as a replica would."""
    # If the change is about a repository or its content.
    repository, place = row["resource_name"], (row["resource_name"], row["reference"])
    match row["kind"]:
        case "manifest_put":
            manifests.add(place)
        case "manifest_delete":
            manifests.discard(place)
        case "tag_put":
            if (repository, row["digest"]) not in manifests:
                yield f"the change log tags what is not there: {row}"
            tags[place] = row["digest"]
        case "tag_delete":
            if tags.pop(place, None) != row["digest"]:
                yield f"the change log deletes a tag that is another one: {row}"
        case "repository_delete":
            manifests -= {each for each in manifests if each[0] == repository}
            for each in [each for each in tags if each[0] == repository]:
                del tags[each]
