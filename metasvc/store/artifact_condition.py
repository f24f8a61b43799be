"""The conditions of artifact lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, exists, false, func, literal, or_

from metasvc.domain.lists import ANY_TAG, NEVER_PULLED
from metasvc.domain.model import AccessorySource
from metasvc.store.tables import artifact, artifact_accessory, artifact_label, artifact_reference, tag
from svckit.query import AllOf, AnyOf, Exact, Fuzzy
from svckit.sql.selection import condition
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svckit.query import Clause
    from svckit.sql.selection import Columns

COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "id": artifact.c.id,
    "digest": artifact.c.digest,
    "type": artifact.c.type,
    "media_type": artifact.c.media_type,
    "size": artifact.c.size,
    "push_time": artifact.c.push_time,
    "pull_time": func.coalesce(artifact.c.pull_time, literal(NEVER_PULLED, UtcDateTime())),
}

_subject = artifact.alias("subject")
_TAGGED = tag.c.artifact_id == artifact.c.id

_by_tag = artifact_accessory.alias("by_tag")

IS_ORDINARY: ColumnElement[bool] = ~exists().where(_by_tag.c.tag_id == tag.c.id).correlate(tag)
"""Whether a tag does not make its artifact an accessory."""

# As in Harbor (src/pkg/artifact/dao), a list leaves out accessories whose subject is in the repository, and untagged
# children of an index. They are shown with their subject or index. An artifact with an ordinary tag is listed although
# another tag makes it an accessory.
LISTED: ColumnElement[bool] = and_(
    ~exists()
    .where(
        artifact_accessory.c.artifact_id == artifact.c.id,
        _subject.c.repository_id == artifact_accessory.c.repository_id,
        _subject.c.digest == artifact_accessory.c.subject_digest,
        or_(
            artifact_accessory.c.source == AccessorySource.SUBJECT.value,
            ~exists().where(_TAGGED, IS_ORDINARY).correlate(artifact),
        ),
    )
    .correlate(artifact),
    or_(
        ~exists().where(artifact_reference.c.child_id == artifact.c.id).correlate(artifact),
        exists().where(_TAGGED).correlate(artifact),
    ),
)


def artifact_condition(clause: Clause, columns: Columns) -> ColumnElement[bool]:
    """A clause of a `q` as a condition on the artifact table (`svckit.sql.selection.ConditionOf`)."""
    match clause.key:
        case "tags":
            return _tags(clause)
        case "labels":
            return _labels(clause)
        case _:
            return condition(clause, columns)


def _tags(clause: Clause) -> ColumnElement[bool]:
    """An artifact matches if one of its tags matches."""
    match clause:
        case Exact(value=value):
            return _tag(value)
        case AnyOf(values=values):
            return or_(false(), *(_tag(value) for value in values))
        case AllOf(values=values):
            return and_(*(_tag(value) for value in values))
        case Fuzzy(text=text):
            return exists().where(_TAGGED, tag.c.name.icontains(text, autoescape=True)).correlate(artifact)
        case _:
            raise TypeError(f"tags cannot be filtered by {type(clause).__name__}")


def _labels(clause: Clause) -> ColumnElement[bool]:
    """An artifact matches if it has the label, one of the labels, or all of them."""
    match clause:
        case Exact(value=value):
            return _label(value)
        case AnyOf(values=values):
            return or_(false(), *map(_label, values))
        case AllOf(values=values):
            return and_(*map(_label, values))
        case _:
            raise TypeError(f"labels cannot be filtered by {type(clause).__name__}")


def _label(label_id: object) -> ColumnElement[bool]:
    on_it = exists().where(artifact_label.c.artifact_id == artifact.c.id, artifact_label.c.label_id == label_id)
    return on_it.correlate(artifact)


def _tag(name: object) -> ColumnElement[bool]:
    if name is None:
        return ~exists().where(_TAGGED).correlate(artifact)
    if name == ANY_TAG:
        return exists().where(_TAGGED).correlate(artifact)
    return exists().where(_TAGGED, tag.c.name == name).correlate(artifact)
