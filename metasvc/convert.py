"""Converts between the messages of `meta.v1` and the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasvc.domain.addition import addition_paths
from metasvc.domain.icon import accessory_icon, artifact_icon
from metasvc.domain.immutable_rule_model import ACTION, Selector
from roadstead.meta.v1 import (
    artifact_pb2,
    immutable_rule_pb2,
    label_pb2,
    manifest_pb2,
    project_service_pb2,
    quota_pb2,
    quota_service_pb2,
    repository_pb2,
    tag_pb2,
)
from svckit.convert import from_actor, from_time, parsed
from svckit.doublestar import Doublestar, PatternError
from svckit.errors import FieldViolation, Invalid
from svckit.oci.digest import Digest
from svckit.oci.errors import OciFormatError
from svckit.oci.reference import Reference, Tag
from svckit.oci.repository import RepositoryName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from metasvc.domain.immutable_rule_model import ImmutableRule
    from metasvc.domain.label_model import Label
    from metasvc.domain.lists import Accessory, ArtifactView, ListedRepository, PastMove
    from metasvc.domain.model import Project, ProjectUsage, Referrer, StoredManifest
    from metasvc.domain.model import Reference as Child
    from metasvc.domain.model import Tag as StoredTag
    from metasvc.domain.quota_recount import RecountStep
    from svckit.access.decision import ResolvedProject

_KIND = "doublestar"
_TAGS = {False: "matches", True: "excludes"}
_REPOSITORIES = {False: "repoMatches", True: "repoExcludes"}

MAX_STRUCT_DEPTH = 20
"""The deepest JSON in a Struct. Each level of JSON needs three nested messages, and protobuf reads at most 100."""


def to_repository_of(project: ResolvedProject, name: str) -> str:
    """Reads a repository's name within a project, and returns the full name.

    Raises:
        DomainError: NAME_INVALID.
    """
    return str(parsed(lambda text: RepositoryName.of(project.name, text), name))


def to_source(text: str) -> tuple[RepositoryName, Reference]:
    """Reads the source of a copy: "project/repository:tag" or "project/repository@digest".

    As in Harbor, the digest counts if there are both.

    Raises:
        DomainError: BAD_REQUEST.
    """
    named, at, digest = text.partition("@")
    name, colon, tag = named.partition(":")
    try:
        reference = Reference(digest=Digest.parse(digest)) if at else Reference(tag=Tag.parse(tag))
        if at and colon:
            Tag.parse(tag)
        return RepositoryName.parse(name), reference
    except OciFormatError as error:
        problem = "must be project/repository:tag or project/repository@digest"
        raise Invalid(message=f"from {problem}: {error}", violations=[FieldViolation("source", problem)]) from error


def to_tag_selectors(message: immutable_rule_pb2.ImmutableTagSelectors) -> tuple[Selector, ...]:
    """Reads the tag selectors of an immutable rule.

    Raises:
        DomainError: BAD_REQUEST; a pattern is malformed.
    """
    return _selectors("tag_selectors.selectors", message.selectors, _TAGS)


def to_repository_selectors(message: immutable_rule_pb2.ImmutableScope) -> tuple[Selector, ...]:
    """Reads the repository selectors of an immutable rule. Raises as `to_tag_selectors`."""
    return _selectors("scope_selectors.repository", message.repository, _REPOSITORIES)


def _selectors(
    path: str,
    messages: Iterable[immutable_rule_pb2.ImmutableTagSelector | immutable_rule_pb2.ImmutableRepositorySelector],
    decorations: Mapping[bool, str],
) -> tuple[Selector, ...]:
    selectors = []
    for place, each in enumerate(messages):
        try:
            pattern = Doublestar.parse(each.pattern)
        except PatternError as error:
            raise Invalid.of_field(f"{path}[{place}].pattern", str(error)) from None
        selectors.append(Selector(pattern, each.decoration == decorations[True]))
    return tuple(selectors)


def from_immutable_rule(rule: ImmutableRule) -> immutable_rule_pb2.ImmutableRule:
    """Writes an immutable rule."""
    return immutable_rule_pb2.ImmutableRule(
        id=rule.id,
        priority=rule.priority,
        disabled=rule.is_disabled,
        action=ACTION,
        template=rule.template,
        tag_selectors=[
            immutable_rule_pb2.ImmutableTagSelector(
                kind=_KIND, decoration=_TAGS[each.is_excluding], pattern=each.pattern.text
            )
            for each in rule.tags
        ],
        scope_selectors=immutable_rule_pb2.ImmutableScope(
            repository=[
                immutable_rule_pb2.ImmutableRepositorySelector(
                    kind=_KIND, decoration=_REPOSITORIES[each.is_excluding], pattern=each.pattern.text
                )
                for each in rule.repositories
            ]
        ),
        etag=rule.etag,
    )


def from_manifest(manifest: StoredManifest) -> manifest_pb2.Manifest:
    """Writes a manifest."""
    return manifest_pb2.Manifest(
        digest=manifest.digest,
        media_type=manifest.media_type,
        size_bytes=manifest.size,
        content=manifest.content or b"",
    )


def from_referrer(referrer: Referrer) -> manifest_pb2.Descriptor:
    """Writes the descriptor of a referrer."""
    return manifest_pb2.Descriptor(
        media_type=referrer.media_type,
        digest=referrer.digest,
        size_bytes=referrer.size,
        artifact_type=referrer.artifact_type,
        annotations=referrer.annotations,
    )


def from_usage(usage: ProjectUsage) -> project_service_pb2.ProjectUsage:
    """Writes the usage of a project."""
    return project_service_pb2.ProjectUsage(
        project_id=usage.project_id,
        repository_count=usage.repository_count,
        used_bytes=usage.used_bytes,
        limit_bytes=usage.limit_bytes,
    )


def from_repository(listed: ListedRepository) -> repository_pb2.Repository:
    """Writes a repository."""
    repository = listed.repository
    return repository_pb2.Repository(
        id=repository.id,
        project_id=repository.project_id,
        name=repository.name,
        description=repository.description,
        artifact_count=listed.artifact_count,
        pull_count=repository.pull_count,
        create_time=from_time(repository.create_time),
        update_time=from_time(repository.update_time),
        etag=repository.etag,
    )


def from_tag(tag: StoredTag) -> tag_pb2.Tag:
    """Writes a tag."""
    return tag_pb2.Tag(
        id=tag.id,
        repository_id=tag.repository_id,
        artifact_id=tag.artifact_id,
        name=tag.name,
        push_time=from_time(tag.push_time),
        pull_time=from_time(tag.pull_time),
        immutable=tag.is_immutable,
    )


def from_move(move: PastMove) -> tag_pb2.TagMove:
    """Writes a move of a tag."""
    return tag_pb2.TagMove(
        name=move.name,
        digest=move.digest,
        previous_digest=move.previous_digest,
        actor=from_actor(move.actor),
        move_time=from_time(move.move_time),
        revision=move.revision,
    )


def from_artifact(view: ArtifactView) -> artifact_pb2.Artifact:
    """Writes an artifact with what was read beside it."""
    artifact = view.artifact
    message = artifact_pb2.Artifact(
        id=artifact.id,
        type=artifact.type,
        media_type=artifact.media_type,
        manifest_media_type=artifact.manifest_media_type,
        artifact_type=artifact.artifact_type,
        project_id=artifact.project_id,
        repository_id=artifact.repository_id,
        repository_name=artifact.repository_name,
        digest=artifact.digest,
        size_bytes=artifact.size,
        icon=artifact_icon(artifact.type),
        push_time=from_time(artifact.push_time),
        pull_time=from_time(artifact.pull_time),
        annotations=artifact.annotations,
        references=[_from_child(artifact.id, child) for child in view.references],
        tags=map(from_tag, view.tags),
        accessories=map(from_accessory, view.accessories),
        inherited_accessories=map(from_accessory, view.inherited_accessories),
        labels=map(from_label, view.labels),
        incomplete=view.incomplete,
    )
    for name, path in addition_paths(artifact).items():
        message.addition_links[name].href = path
    # Set even when it is empty, because Harbor always sends it.
    message.extra_attributes.SetInParent()
    message.extra_attributes.update({key: _cut(value, 1) for key, value in artifact.extra_attrs.items()})
    return message


def from_accessory(accessory: Accessory) -> artifact_pb2.Accessory:
    """Writes an accessory."""
    return artifact_pb2.Accessory(
        id=accessory.id,
        artifact_id=accessory.artifact_id,
        subject_artifact_id=accessory.subject_artifact_id,
        subject_artifact_digest=accessory.subject_digest,
        subject_artifact_repository=accessory.repository,
        size_bytes=accessory.size,
        digest=accessory.digest,
        type=accessory.type,
        icon=accessory_icon(accessory.type),
        create_time=from_time(accessory.create_time),
    )


def from_label(label: Label) -> label_pb2.Label:
    """Writes a label."""
    return label_pb2.Label(
        id=label.id,
        name=label.name,
        description=label.description,
        color=label.color,
        scope=label.scope.value,
        project_id=label.project_id,
        create_time=from_time(label.create_time),
        update_time=from_time(label.update_time),
        etag=label.etag,
    )


def from_quota(project: Project) -> quota_pb2.Quota:
    """Writes a project's quota."""
    return quota_pb2.Quota(
        id=project.id,
        reference=quota_pb2.QuotaReference(id=project.id, name=project.name),
        hard=quota_pb2.QuotaResources(storage_bytes=project.quota_bytes),
        used=quota_pb2.QuotaResources(storage_bytes=project.used_bytes),
        create_time=from_time(project.create_time),
        update_time=from_time(project.update_time),
        etag=project.etag,
    )


def from_recount_step(step: RecountStep) -> quota_service_pb2.RecountQuotasResponse:
    """Writes the response of RecountQuotas."""
    return quota_service_pb2.RecountQuotasResponse(
        project_id=0 if step.project is None else step.project.id,
        project_name="" if step.project is None else step.project.name,
        digest_count=step.digest_count,
        differences=[
            quota_service_pb2.ChargeDifference(
                digest=each.digest,
                old_count=each.old_count,
                new_count=each.new_count,
                old_size_bytes=each.old_size,
                new_size_bytes=each.new_size,
            )
            for each in step.differences
        ],
        old_used_bytes=step.usage.used_bytes,
        new_used_bytes=step.usage.charged_bytes,
        project_done=step.is_done,
        next_page_token=step.next_page_token,
        remaining_project_count=step.remaining_projects,
    )


def _from_child(parent_id: int, child: Child) -> artifact_pb2.ArtifactReference:
    platform: Any = child.platform
    return artifact_pb2.ArtifactReference(
        parent_id=parent_id,
        child_id=child.child_id,
        child_digest=child.child_digest,
        platform=None if platform is None else artifact_pb2.Platform(**platform),
        annotations=child.annotations,
        urls=child.urls,
    )


def _cut(value: Any, depth: int) -> Any:
    """Leaves out values that are nested deeper than `MAX_STRUCT_DEPTH`."""
    if isinstance(value, dict):
        return {} if depth > MAX_STRUCT_DEPTH else {key: _cut(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [] if depth > MAX_STRUCT_DEPTH else [_cut(member, depth + 1) for member in value]
    return value
