"""Immutable rules, and what they refuse, in short words for tests."""

from collections.abc import Iterable

from metasvc.domain.artifact import delete_named_artifact
from metasvc.domain.artifact_copy import ArtifactCopy, copy_artifact
from metasvc.domain.artifact_tag import delete_tag
from metasvc.domain.immutable_rule import create_rule
from metasvc.domain.immutable_rule_model import ImmutableRule, NewImmutableRule, Selector
from metasvc.domain.repository import delete_repository
from svckit.doublestar import Doublestar
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import ORIGIN, World

APP = "alpha/app"


def selectors(*patterns: str) -> tuple[Selector, ...]:
    """Selectors of these patterns; one that begins with "not " excludes."""
    return tuple(
        Selector(Doublestar.parse(pattern.removeprefix("not ")), pattern.startswith("not ")) for pattern in patterns
    )


def new_rule(
    tags: str | Iterable[str] = "**", repositories: str | Iterable[str] = "**", *, project_id: int = 1, **more: object
) -> NewImmutableRule:
    """A rule by its patterns."""
    values: dict[str, object] = {
        "project_id": project_id,
        "is_disabled": False,
        "priority": 0,
        "template": "immutable_template",
        "repositories": selectors(*([repositories] if isinstance(repositories, str) else repositories)),
        "tags": selectors(*([tags] if isinstance(tags, str) else tags)),
    }
    return NewImmutableRule(**values | more)  # type: ignore[arg-type]


async def make_rule(
    world: World, tags: str | Iterable[str] = "**", repositories: str | Iterable[str] = "**", **more: object
) -> ImmutableRule:
    """Makes a rule by its patterns."""
    return await create_rule(world.ports, new_rule(tags, repositories, **more), ORIGIN)  # type: ignore[arg-type]


async def remove_tag(world: World, name: str = "v1", *, repository: str = APP) -> None:
    """Deletes a tag as people do."""
    await delete_tag(
        world.ports,
        project_id=1,
        repository=repository,
        reference=Reference.parse(name),
        name=name,
        origin=ORIGIN,
    )


async def remove_artifact(world: World, reference: str, *, repository: str = APP) -> None:
    """Deletes an artifact as people do."""
    await delete_named_artifact(
        world.ports, project_id=1, repository=repository, reference=Reference.parse(reference), origin=ORIGIN
    )


async def remove_repository(world: World, name: str = APP) -> None:
    """Deletes a repository."""
    await delete_repository(world.ports, project_id=1, name=name, origin=ORIGIN)


async def copy(world: World, source: str, repository: str = APP) -> str:
    """Copies what a tag of another repository names: "alpha/other:v1"."""
    name, _, tag = source.partition(":")
    wanted = ArtifactCopy(
        source_project_id=1, source=name, reference=Reference.parse(tag), project_id=1, repository=repository
    )
    return await copy_artifact(world.ports, wanted, ORIGIN)
