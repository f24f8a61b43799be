"""Rules that make tags immutable, as the store returns them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from svckit.doublestar import Doublestar

ACTION = "immutable"
"""Harbor's word for what these rules do."""

MOST_RULES = 15
"""The most rules of one project, as Harbor's pages allow."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Names that match a pattern, or all others.

    Attributes:
        pattern: of repositories without their project, or of tags.
        is_excluding: whether it stands for all others.
    """

    pattern: Doublestar
    is_excluding: bool = False

    def to_json(self) -> dict[str, object]:
        """As it is stored, and recorded in the change log."""
        return {"pattern": self.pattern.text, "excluding": self.is_excluding}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImmutableRule:
    """A rule that has no id yet. See `ImmutableRule`."""

    project_id: int
    is_disabled: bool
    priority: int
    template: str
    repositories: tuple[Selector, ...]
    tags: tuple[Selector, ...]

    def covers_repository(self, name: str) -> bool:
        """Whether it covers a repository, named without its project."""
        return not self.is_disabled and _select(self.repositories, name)

    def covers_tag(self, name: str) -> bool:
        """Whether it covers a tag of a repository that it covers."""
        return _select(self.tags, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImmutableRule(NewImmutableRule):
    """A rule. A tag is immutable if one rule of its project covers its repository and its name.

    Attributes:
        is_disabled: it covers nothing then.
        priority: of Harbor's clients, without a meaning.
        template: of Harbor's clients, without a meaning.
        repositories: the repositories that it covers; at least one selector.
        tags: the names of tags that it covers; at least one selector.
        version: grows with each update.
    """

    id: int
    create_time: datetime
    update_time: datetime
    version: int = 0

    @property
    def etag(self) -> str:
        """An update that names this etag is refused if another change came first. Ids are never used again."""
        return f"{self.id}-{self.version}"


def _select(selectors: Sequence[Selector], name: str) -> bool:
    """Whether one that matches selects the name, or there is none of these, and none that excludes takes it away.

    As in Harbor's newest version. Those before it look at the first selector only.
    """
    is_matched = all(selector.is_excluding for selector in selectors)
    for selector in selectors:
        if selector.pattern.matches(name):
            if selector.is_excluding:
                return False
            is_matched = True
    return is_matched
