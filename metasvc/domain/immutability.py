"""Immutable tags: what may not be done to them.

Every function that moves or deletes tags asks here first (`domain.tag`, `domain.repository.delete_repository`), so a
rule holds for every caller. The rules are read in the transaction of the write, and its commit fails if one of them has
changed meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from svckit.errors import Precondition
from svckit.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from metasvc.domain.immutable_rule_model import ImmutableRule
    from metasvc.domain.lists import Lists
    from metasvc.domain.model import Artifact, Tag
    from metasvc.domain.repository_write import RepositoryWrite

_log = get_logger(__name__)

_NAMES_AT_ONCE = 1_000

_Deed = Literal["push", "move", "delete"]
# Harbor's texts.
_TEXTS: Mapping[_Deed, str] = {
    "push": "Failed to process request due to '{repository}:{tag}' configured as immutable.",
    "move": "the tag {tag} configured as immutable, cannot be updated",
    "delete": "the tag {tag} configured as immutable, cannot be deleted",
}


class CoveringRules:
    """The rules that cover one repository."""

    def __init__(self, rules: Iterable[ImmutableRule], repository: str) -> None:
        """Takes the rules of the project, and the full name of the repository."""
        name = _within_project(repository)
        self._rules = [rule for rule in rules if rule.covers_repository(name)]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def rule_for(self, tag: str) -> ImmutableRule | None:
        """The first rule that makes a tag immutable; None if it is not."""
        return next((rule for rule in self._rules if rule.covers_tag(tag)), None)


async def refuse_push(write: RepositoryWrite, names: Iterable[str]) -> None:
    """Refuses to push by tags that exist and are immutable, also with the digest that they have, as in Harbor.

    Raises:
        DomainError: TAG_IMMUTABLE.
    """
    await _refuse(write, names, "push")


async def refuse_moves(write: RepositoryWrite, names: Iterable[str]) -> None:
    """Refuses to move tags that are immutable. Raises as `refuse_push`."""
    await _refuse(write, names, "move")


async def refuse_deletions(write: RepositoryWrite, names: Iterable[str]) -> None:
    """Refuses to delete tags that are immutable. Raises as `refuse_push`."""
    await _refuse(write, names, "delete")


async def refuse_deletion_of_all(write: RepositoryWrite) -> None:
    """Refuses to delete a repository with an immutable tag. Raises as `refuse_push`."""
    repository = write.repository
    rules = await _rules_for(write)
    last = ""
    # Most repositories have no rule. Then their tags need not be read.
    while rules:
        names = await write.unit.tags.names(repository.project_id, repository.name, last, _NAMES_AT_ONCE)
        _refuse_by(rules, write, names, "delete")
        if len(names) < _NAMES_AT_ONCE:
            return
        last = names[-1]


async def with_immutability(
    lists: Lists, artifacts: Sequence[Artifact], tags: Mapping[int, Sequence[Tag]]
) -> Mapping[int, Sequence[Tag]]:
    """Says of the tags of artifacts which are immutable. One query.

    Args:
        lists: the lists.
        artifacts: artifacts of one project.
        tags: their tags, by the id of the artifact.
    """
    rules = await lists.immutable_rules.of(artifacts[0].project_id) if tags else ()
    if not rules:
        return tags
    covering = {name: CoveringRules(rules, name) for name in {artifact.repository_name for artifact in artifacts}}

    def marked(artifact: Artifact) -> tuple[Tag, ...]:
        by = covering[artifact.repository_name]
        held = tags.get(artifact.id, ())
        return tuple(replace(tag, is_immutable=by.rule_for(tag.name) is not None) for tag in held)

    return {artifact.id: marked(artifact) for artifact in artifacts}


async def _rules_for(write: RepositoryWrite) -> CoveringRules:
    repository = write.repository
    return CoveringRules(await write.unit.immutable_rules.relied_on(repository.project_id), repository.name)


async def _refuse(write: RepositoryWrite, names: Iterable[str], deed: _Deed) -> None:
    existing = list(names)
    if existing:
        _refuse_by(await _rules_for(write), write, existing, deed)


def _refuse_by(rules: CoveringRules, write: RepositoryWrite, names: Iterable[str], deed: _Deed) -> None:
    for name in names:
        rule = rules.rule_for(name)
        if rule is not None:
            repository = write.repository.name
            _log.info(
                "immutable_tag_kept",
                refused=deed,
                repository=repository,
                tag=name,
                immutable_rule_id=rule.id,
                actor=str(write.origin.actor),
            )
            raise Precondition(
                "TAG_IMMUTABLE",
                _TEXTS[deed].format(repository=_within_project(repository), tag=name),
                metadata={"tag": name, "immutable_rule_id": str(rule.id)},
            )


def _within_project(repository: str) -> str:
    """The name of a repository without its project, as rules and Harbor's texts have it."""
    return repository.partition("/")[2]
