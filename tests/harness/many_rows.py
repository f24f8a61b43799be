# ruff: noqa: S608 - what stands in these statements is written in this file
"""Fills metasvc's tables with as many rows as a large installation has, by a few statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
BUSY_PROJECT = 1
"""The project with the most repositories and labels."""
BUSY_REPOSITORY = 1_500
"""Its repository with the most artifacts. In no order is it on a page that is measured, because a list of repositories
counts the artifacts of those that it shows."""
TAGGED_ARTIFACT = 1_507
"""Its artifact with the most tags, which for the same reason is in the middle."""
SIGNED_REPOSITORY = 1_501
"""Its repository with an artifact that has the most accessories."""


@dataclass(frozen=True)
class Scale:
    """How many rows there are.

    Attributes:
        largest: how many repositories the busy project has; also how many tags, accessories, labels and moves there are
            where there are the most.
        busiest: the artifacts of the busy repository.
    """

    projects: int = 1_000
    repositories: int = 10_000
    artifacts: int = 100_000
    largest: int = 2_400
    busiest: int = 2_800

    def times(self, factor: int) -> Scale:
        """So many times as many."""
        return Scale(
            self.projects * factor,
            self.repositories * factor,
            self.artifacts * factor,
            self.largest * factor,
            self.busiest * factor,
        )

    @property
    def signed(self) -> int:
        """The id of the artifact with the most accessories: the first one of its repository."""
        return (self.busiest // self.repositories + 1) * self.repositories + SIGNED_REPOSITORY - 1


def digest(artifact_id: int) -> str:
    """The digest of an artifact."""
    return f"sha256:{artifact_id:064x}"


def fill(run: Callable[[str], object], dialect: str, scale: Scale) -> None:
    """Fills empty tables, and has the database count them for its plans.

    Args:
        run: runs a statement.
        dialect: of the database.
        scale: how many rows.
    """
    words = _Postgresql() if dialect == "postgresql" else _Sqlite()
    for statement in _statements(words, scale):
        run(statement)
    run("ANALYZE")


class _Sqlite:
    empty = "'{}'"

    def time(self, seconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%S', 1750000000 + {seconds}, 'unixepoch') || '.000000'"

    def digest(self, number: str) -> str:
        return f"'sha256:' || printf('%064x', {number})"


class _Postgresql:
    empty = "CAST('{}' AS jsonb)"

    def time(self, seconds: str) -> str:
        return f"to_timestamp(1750000000 + {seconds})"

    def digest(self, number: str) -> str:
        return f"'sha256:' || lpad(to_hex({number}), 64, '0')"


def _numbers(count: int) -> str:
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"


def _statements(words: _Sqlite | _Postgresql, scale: Scale) -> list[str]:
    time, hex_digest, empty = words.time, words.digest, words.empty
    others = scale.projects - 1
    of_project = f"CASE WHEN i <= {scale.largest} THEN {BUSY_PROJECT} ELSE 2 + i % {others} END"
    of_repository = f"CASE WHEN i <= {scale.busiest} THEN {BUSY_REPOSITORY} ELSE 1 + i % {scale.repositories} END"
    artifact = (
        "INSERT INTO artifact (id, project_id, repository_id, repository_name, digest, media_type, manifest_media_type,"
        " artifact_type, type, size, manifest_size, subject_digest, config_digest, push_time, pull_time, extra_attrs,"
        " annotations)"
    )
    pulled = f"CASE WHEN i % 3 = 0 THEN {time('i')} END"
    shown = f"'{CONFIG}', '{MANIFEST}', '{CONFIG}', 'IMAGE', 1000 + (i * 37) % 1000003, 500"
    accessory = "INSERT INTO artifact_accessory (artifact_id, repository_id, subject_digest, source, type, create_time)"
    tag = "INSERT INTO tag (repository_id, artifact_id, name, push_time, pull_time)"
    label = "INSERT INTO label (project_id, name, description, color, create_time, update_time, version)"
    return [
        (
            "INSERT INTO project (id, name, state, quota_bytes, used_bytes, create_time, update_time, quota_version)"
            f" {_numbers(scale.projects)}"
            f" SELECT i, 'p' || i, 'active', -1, 0, {time('i')}, {time('i')}, 0 FROM n"
        ),
        (
            "INSERT INTO repository"
            " (id, name, project_id, description, pull_count, create_time, update_time, version)"
            f" {_numbers(scale.repositories)}"
            f" SELECT i, 'p' || ({of_project}) || '/r' || i, {of_project}, 'repository ' || i, (i * 7919) % 100003,"
            f" {time('i')}, {time('(i * 31) % 1000003')}, 0 FROM n"
        ),
        (
            f"{artifact} {_numbers(scale.artifacts)}"
            f" SELECT i, r.project_id, r.id, r.name, {hex_digest('i')}, {shown}, '', '', {time('i')}, {pulled},"
            f" {empty}, {empty} FROM n JOIN repository r ON r.id = {of_repository}"
        ),
        # The accessories of one artifact. They have the ids after those of the others.
        (
            f"{artifact} {_numbers(scale.largest)}"
            f" SELECT {scale.artifacts} + i, r.project_id, r.id, r.name, {hex_digest(f'{scale.artifacts} + i')},"
            f" {shown}, '{digest(scale.signed)}', '', {time('i')}, {pulled}, {empty}, {empty}"
            f" FROM n JOIN repository r ON r.id = {SIGNED_REPOSITORY}"
        ),
        (
            f"{accessory} {_numbers(scale.largest)}"
            f" SELECT {scale.artifacts} + i, {SIGNED_REPOSITORY}, '{digest(scale.signed)}', 'subject',"
            f" 'signature.cosign', {time('i')} FROM n"
        ),
        # Of each ten artifacts, one is a signature and one an untagged child. In the busy repository, lists leave them
        # out; in others, what they belong to is in another repository.
        (
            f"{accessory} SELECT id, repository_id, {hex_digest('id - 1')}, 'subject', 'signature.cosign', push_time"
            f" FROM artifact WHERE id <= {scale.artifacts} AND id % 10 = 5"
        ),
        (
            "INSERT INTO artifact_reference (parent_id, position, child_id, child_digest, annotations, urls)"
            f" SELECT id - 1, 0, id, digest, {empty}, {empty}"
            f" FROM artifact WHERE id <= {scale.artifacts} AND id % 10 = 2"
        ),
        (
            f"{tag} SELECT repository_id, id, 'v' || id, push_time, pull_time"
            f" FROM artifact WHERE id <= {scale.artifacts} AND id % 10 NOT IN (2, 5)"
        ),
        (
            f"{tag} {_numbers(scale.largest)}"
            f" SELECT {BUSY_REPOSITORY}, {TAGGED_ARTIFACT}, 't' || i, {time('i')}, NULL FROM n"
        ),
        (
            f"{label} {_numbers(scale.largest)}"
            f" SELECT {BUSY_PROJECT}, 'label ' || i, 'text', '#fff', {time('i')}, {time('i')}, 0 FROM n"
        ),
        (
            f"{label} {_numbers(scale.largest)}"
            f" SELECT 0, 'global label ' || i, 'text', '#fff', {time('i')}, {time('i')}, 0 FROM n"
        ),
        (
            f"{label} {_numbers(scale.repositories)}"
            f" SELECT 2 + i % {others}, 'label ' || i, 'text', '#fff', {time('i')}, {time('i')}, 0 FROM n"
        ),
        # Of three labels in the busy repository, one is on few artifacts. Those of other repositories have another.
        (
            "INSERT INTO artifact_label (artifact_id, label_id, create_time)"
            f" SELECT id, 1, push_time FROM artifact WHERE id <= {scale.busiest}"
            f" UNION ALL SELECT id, 2, push_time FROM artifact WHERE id <= {scale.busiest} AND id % 2 = 0"
            f" UNION ALL SELECT id, 3, push_time FROM artifact WHERE id <= {scale.busiest} AND id % 1000 = 1"
            f" UNION ALL SELECT id, 4, push_time FROM artifact WHERE id > {scale.busiest}"
        ),
        (
            "INSERT INTO tag_history"
            " (repository_id, name, revision, digest, previous_digest, actor_kind, actor_id, actor_name, move_time)"
            f" {_numbers(scale.largest)}"
            f" SELECT {BUSY_REPOSITORY}, 't1', i, '{digest(TAGGED_ARTIFACT)}', '', 'user', 7, 'ann', {time('i')} FROM n"
        ),
    ]
