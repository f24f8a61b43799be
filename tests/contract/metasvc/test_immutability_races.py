"""Immutable rules that come and go while tags move."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from metasvc.domain.immutable_rule import ImmutableRuleChange, delete_rule, update_rule
from metasvc.domain.immutable_rule_model import MOST_RULES
from metasvc.domain.model import ChangeKind
from metasvc.store.tables import CHANGES
from svckit.change import CommittedChange
from svckit.errors import DomainError
from tests.contract.metasvc.immutability import APP, copy, make_rule, remove_repository, remove_tag
from tests.contract.metasvc.world import ORIGIN, World, image

ROUNDS = 10
PUSHERS = 6


async def test_a_rule_holds_for_every_write_that_commits_after_it(world: World) -> None:
    """Rules come and go while tags are moved and deleted in each way.

    The order of the change log is that of the commits. So no move of an existing tag may stand between a rule that
    covers it and the end of that rule.
    """
    chance = random.Random(7)
    images = [image(f"i{number}") for number in range(4)]
    await world.push("alpha/source", images[3], "t0")
    outcomes: Counter[str] = Counter()

    async def after_a_moment(act: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(chance.random() * 0.02)
        try:
            await act()
        except DomainError as error:
            outcomes[error.reason] += 1
        else:
            outcomes["done"] += 1

    async def come_and_go(pattern: str) -> None:
        rule = await make_rule(world, "t*", pattern)
        await asyncio.sleep(chance.random() * 0.01)
        change = ImmutableRuleChange(is_disabled=True)
        await update_rule(world.ports, project_id=1, rule_id=rule.id, change=change, origin=ORIGIN)
        await delete_rule(world.ports, project_id=1, rule_id=rule.id, origin=ORIGIN)

    for number in range(ROUNDS):
        repository = f"alpha/r{number}"
        for place, pushed in enumerate(images[:3]):
            await world.push(repository, pushed, f"t{place}")
        writes: list[Callable[[], Awaitable[object]]] = [
            partial(world.put, repository, images[1], "t0"),
            partial(world.put, repository, images[2], "t1"),
            partial(world.put, repository, images[0], tags=["t1", "t2"]),
            partial(remove_tag, world, "t0", repository=repository),
            partial(world.delete, repository, images[2].digest),
            partial(copy, world, "alpha/source:t0", repository),
            partial(remove_repository, world, repository),
        ]
        acts: list[Callable[[], Awaitable[object]]] = [
            *chance.sample(writes, 4),
            partial(come_and_go, f"r{number}"),
        ]
        await asyncio.gather(*map(after_a_moment, acts))

    # The others: several conflicts in a row, and what another write has deleted.
    assert outcomes.keys() <= {
        "done",
        "TAG_IMMUTABLE",
        "UNAVAILABLE",
        "NOT_FOUND",
        "MANIFEST_UNKNOWN",
        "MANIFEST_BLOB_UNKNOWN",
    }
    assert outcomes["TAG_IMMUTABLE"] > 0
    assert outcomes["done"] > ROUNDS
    query = "SELECT revision FROM tag_history WHERE previous_digest <> ''"
    moves = {row.revision for row in await world.rows(query)}
    covered: dict[int, str] = {}
    for entry in await all_changes(world):
        change = entry.change
        values: Any = change.new
        if change.kind is ChangeKind.IMMUTABLE_RULE_CREATE:
            covered[change.resource_id] = f"alpha/{values['repositories'][0]['pattern']}"
        elif change.kind is ChangeKind.IMMUTABLE_RULE_UPDATE:
            del covered[change.resource_id]
        elif change.kind in {ChangeKind.REPOSITORY_DELETE, ChangeKind.TAG_DELETE} or entry.revision in moves:
            assert change.resource_name not in covered.values(), entry


async def all_changes(world: World) -> list[CommittedChange[ChangeKind]]:
    """The whole change log, which has more than one page."""
    async with world.database.read() as conn:
        end = await CHANGES.position(conn)
        position = replace(end, revision=0)
        found: list[CommittedChange[ChangeKind]] = []
        while position.revision < end.revision:
            page = await CHANGES.read(conn, position)
            found += page.changes
            position = page.position
    return found


async def test_pushes_without_a_pause_do_not_keep_a_rule_from_being_made(world: World) -> None:
    images = [image("i0"), image("i1")]
    for number in range(PUSHERS):
        for pushed in images:
            await world.push(APP, pushed, f"t{number}")
    is_over = asyncio.Event()

    pushes = [0] * PUSHERS

    async def push_on(number: int) -> None:
        while not is_over.is_set():
            await world.put(APP, images[pushes[number] % 2], f"t{number}")
            pushes[number] += 1

    async def make_rules() -> None:
        try:
            # For another repository: it lets the pushes go on.
            for number in range(MOST_RULES):
                await make_rule(world, "**", f"r{number}")
        finally:
            is_over.set()

    await asyncio.gather(*map(push_on, range(PUSHERS)), make_rules())

    assert await world.value("SELECT count(*) FROM immutable_rule") == MOST_RULES
    assert min(pushes) > 0
