"""The conditions of artifact lists.

They are functions of the artifacts, because a list of the newest ones compares artifacts with others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, exists, false, func, literal, or_, select, true

from metasvc.domain.lists import ANY_TAG, NEVER_PULLED
from metasvc.domain.model import AccessorySource
from metasvc.store.tables import artifact, artifact_accessory, artifact_label, artifact_reference, tag
from svckit.query import AllOf, AnyOf, Exact, Fuzzy
from svckit.sql.selection import condition
from svckit.sql.types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import FromClause

    from svckit.query import Clause
    from svckit.sql.selection import Columns

_subject = artifact.alias("subject")
_by_tag = artifact_accessory.alias("by_tag")

IS_ORDINARY: ColumnElement[bool] = ~exists().where(_by_tag.c.tag_id == tag.c.id).correlate(tag)
"""Whether a tag does not make its artifact an accessory."""


def columns(of: FromClause) -> Mapping[str, ColumnElement[Any]]:
    """The columns of the artifacts `of`, by the keys of clauses and orders."""
    names = (
        "id",
        "digest",
        "type",
        "media_type",
        "manifest_media_type",
        "artifact_type",
        "repository_id",
        "repository_name",
        "size",
        "push_time",
    )
    never = literal(NEVER_PULLED, UtcDateTime())
    return {name: of.c[name] for name in names} | {"pull_time": func.coalesce(of.c.pull_time, never)}


def listed(of: FromClause) -> ColumnElement[bool]:
    """Whether a list shows an artifact.

    As in Harbor (src/pkg/artifact/dao), a list leaves out accessories whose subject is in the repository, and untagged
    children of an index. They are shown with their subject or index. An artifact with an ordinary tag is listed
    although another tag makes it an accessory.
    """
    tagged = tag.c.artifact_id == of.c.id
    is_accessory = exist_by_index(
        of,
        artifact_accessory.c.artifact_id == of.c.id,
        _subject.c.repository_id == artifact_accessory.c.repository_id,
        _subject.c.digest == artifact_accessory.c.subject_digest,
        or_(artifact_accessory.c.source == AccessorySource.SUBJECT.value, ~exist_by_index(of, tagged, IS_ORDINARY)),
    )
    is_child = exist_by_index(of, artifact_reference.c.child_id == of.c.id)
    return and_(~is_accessory, or_(~is_child, exist_by_index(of, tagged)))


def exist_by_index(of: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """As EXISTS, in a form that PostgreSQL does not turn into a join.

    It would join the whole tables, because it cannot know how few artifacts fill a page. A count of 22,000 artifacts of
    a million takes it a tenth of the time as well.

    With `IS TRUE`, it guesses that half of the rows match, and so keeps to the order of the list. With `IS NULL`, it
    would guess one of two hundred, and rather sort all rows.
    """
    return select(true()).where(*conditions).limit(1).correlate(of).scalar_subquery().is_(true())


def condition_on(of: FromClause) -> Callable[[Clause, Columns], ColumnElement[bool]]:
    """Turns clauses of a `q` into conditions on the artifacts `of` (`svckit.sql.selection.ConditionOf`)."""

    def of_clause(clause: Clause, known: Columns) -> ColumnElement[bool]:
        match clause.key:
            case "tags":
                return _some(clause, lambda value: _has_tag(of, value))
            case "labels":
                return _some(clause, lambda value: _has_label(of, value))
            case _:
                return condition(clause, known)

    return of_clause


COLUMNS = columns(artifact)
LISTED = listed(artifact)
artifact_condition = condition_on(artifact)


def _some(clause: Clause, has: Callable[[object], ColumnElement[bool]]) -> ColumnElement[bool]:
    """The condition for a key of which an artifact may have several values."""
    match clause:
        case Exact(value=value):
            return has(value)
        case AnyOf(values=values):
            return or_(false(), *map(has, values))
        case AllOf(values=values):
            return and_(*map(has, values))
        case Fuzzy():
            return has(clause)
        case _:
            raise TypeError(f"{clause.key} cannot be filtered by {type(clause).__name__}")


def _has_label(of: FromClause, label_id: object) -> ColumnElement[bool]:
    # In the order of the list, as other filters. A join made page 1,000 seven times slower.
    return exist_by_index(of, artifact_label.c.artifact_id == of.c.id, artifact_label.c.label_id == label_id)


def _has_tag(of: FromClause, name: object) -> ColumnElement[bool]:
    tagged = tag.c.artifact_id == of.c.id
    if name is None:
        return ~exists().where(tagged).correlate(of)
    if name == ANY_TAG:
        return exists().where(tagged).correlate(of)
    named = tag.c.name.icontains(name.text, autoescape=True) if isinstance(name, Fuzzy) else tag.c.name == name
    return exists().where(tagged, named).correlate(of)
