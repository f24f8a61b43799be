"""Checks the state after a push: each thing exists exactly once, also if services were killed meanwhile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.images import Image, digest_of
from tests.harness.meta_rows import MetaRows


@dataclass(frozen=True)
class Stored:
    """The stored data of an installation: metasvc's rows and blobsvc's files."""

    rows: MetaRows
    data_dir: Path

    def project_id(self, name: str) -> int:
        """The id of a project that something was pushed into."""
        [row] = self.rows.select(f"SELECT id FROM project WHERE name = '{name}'")  # noqa: S608 - a test's own name
        found: int = row["id"]
        return found

    def has_link(self, repository: str, digest: str) -> bool:
        """Whether a blob is linked to a repository."""
        links = "repository_blob JOIN repository ON repository.id = repository_blob.repository_id"
        return self.rows.count(links, f"repository.name = '{repository}' AND digest = '{digest}'") > 0

    def has_tag(self, repository: str, name: str) -> bool:
        """Whether a repository has a tag."""
        tags = "tag JOIN repository ON repository.id = tag.repository_id"
        return self.rows.count(tags, f"repository.name = '{repository}' AND tag.name = '{name}'") > 0

    def generations(self, digest: str) -> list[int]:
        """The generations of a digest on the disk."""
        return [int(file.name) for file in self.data_dir.glob(f"blobsvc/blobs/sha256/*/{digest.split(':')[1]}/*")]

    def upload_bytes(self) -> dict[str, int]:
        """The unfinished uploads by id, with the number of their bytes on the disk."""
        files = self.data_dir.glob("blobsvc/uploads/*/data")
        return {file.parent.name: file.stat().st_size for file in files}

    def has_session(self, upload_id: str) -> bool:
        """Whether there is an unfinished upload."""
        return upload_id in self.upload_bytes()

    def check_once(self, repository: str, image: Image, tag: str, *, orphans: int = 0) -> None:
        """Fails unless the project holds exactly one image, with each part once and charged once.

        Args:
            repository: that it was pushed to, the only one in its project.
            image: that was pushed.
            tag: that it was pushed under, once.
            orphans: generations of its blobs that may be on the disk without a link, for the garbage collector.
        """
        project = f"(SELECT project_id FROM repository WHERE name = '{repository}')"  # noqa: S608 - a test's own name
        here = f"repository_id = (SELECT id FROM repository WHERE name = '{repository}')"  # noqa: S608 - the same
        sizes = {digest: len(content) for digest, content in image.blobs.items()}
        links = self._select("digest", "repository_blob", here)
        assert sorted(row["digest"] for row in links) == sorted(sizes)
        assert [row["digest"] for row in self._select("digest", "artifact", here)] == [image.digest]
        assert [row["name"] for row in self._select("name", "tag", here)] == [tag]
        assert [row["digest"] for row in self._select("digest", "tag_history", here)] == [image.digest]
        charges = self._select("digest, count, size", "project_blob", f"project_id = {project}")
        charged = sizes | {digest_of(image.manifest): len(image.manifest)}
        assert {row["digest"]: (row["count"], row["size"]) for row in charges} == {
            digest: (1, size) for digest, size in charged.items()
        }
        [row] = self._select("used_bytes", "project", f"id = {project}")
        assert row["used_bytes"] == sum(charged.values())
        found = 0
        for digest, size in sizes.items():
            [blob] = self._select("generation, size, state", "blob", f"digest = '{digest}'")
            assert (blob["size"], blob["state"]) == (size, "live")
            generations = self.generations(digest)
            assert blob["generation"] in generations
            found += len(generations)
        assert found - len(sizes) <= orphans

    def _select(self, columns: str, table: str, condition: str) -> list[dict[str, Any]]:
        return self.rows.select(f"SELECT {columns} FROM {table} WHERE {condition}")  # noqa: S608 - our own words
