"""The rules that make tags immutable: how they are made, listed, changed and deleted."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from metasvc.domain.immutable_rule import ImmutableRuleChange, create_rule, delete_rule, list_rules, update_rule
from metasvc.domain.immutable_rule_model import MOST_RULES, ImmutableRule
from metasvc.domain.model import ChangeKind
from metasvc.domain.project import delete_project
from svckit.errors import DomainError
from svckit.idempotency import IdempotencyKey
from tests.contract.metasvc.immutability import make_rule, new_rule, selectors
from tests.contract.metasvc.world import ORIGIN, OTHER_ORIGIN, World, asked

ALPHA, BETA = 1, 2


async def change(world: World, rule: ImmutableRule, *, project_id: int = ALPHA, **values: Any) -> ImmutableRule:
    return await update_rule(
        world.ports,
        project_id=project_id,
        rule_id=rule.id,
        change=ImmutableRuleChange(**values),
        origin=OTHER_ORIGIN,
    )


async def remove(world: World, rule_id: int, *, project_id: int = ALPHA) -> None:
    await delete_rule(world.ports, project_id=project_id, rule_id=rule_id, origin=OTHER_ORIGIN)


async def listed(world: World, *, project_id: int = ALPHA, **request: Any) -> list[ImmutableRule]:
    page = await list_rules(world.ports, project_id=project_id, request=asked(**request))
    assert page.total_size >= len(page.items)
    return list(page.items)


async def refusal(work: Awaitable[object]) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value


async def counted(world: World, project_id: int = ALPHA) -> int:
    """The number of rules in the row of the project, which must be right."""
    held = await world.value("SELECT immutable_rules FROM project WHERE id = :id", id=project_id)
    there = await world.value("SELECT count(*) FROM immutable_rule WHERE project_id = :id", id=project_id)
    assert held == there
    return int(held)


async def test_a_rule_is_kept_as_it_was_made(world: World) -> None:
    new = new_rule(["v*", "not v*-rc"], ["team/**", "not team/x"], priority=7, template="t", is_disabled=True)

    made = await create_rule(world.ports, new, ORIGIN)

    assert await listed(world) == [made]
    assert (made.project_id, made.priority, made.template, made.is_disabled) == (ALPHA, 7, "t", True)
    assert (made.tags, made.repositories) == (new.tags, new.repositories)
    assert (made.create_time, made.update_time) == (world.now, world.now)
    assert await counted(world) == 1


async def test_a_project_is_listed_with_its_own_rules_in_the_order_of_their_creation(world: World) -> None:
    made = [await make_rule(world, tag) for tag in ("a", "b", "c")]
    other = await make_rule(world, "a", project_id=BETA)
    await change(world, made[0], is_disabled=True)

    assert [rule.id for rule in await listed(world)] == [rule.id for rule in made]
    assert await listed(world, project_id=BETA) == [other]
    assert [rule.id for rule in await listed(world, sort="-id")] == [rule.id for rule in reversed(made)]
    assert [rule.id for rule in await listed(world, q="disabled=true")] == [made[0].id]
    assert [rule.id for rule in await listed(world, q=f"id={made[1].id}")] == [made[1].id]
    assert (await refusal(listed(world, q="template=x"))).reason == "BAD_REQUEST"


async def test_pages_by_token_show_each_rule_once(world: World) -> None:
    made = [(await make_rule(world, f"v{number}")).id for number in range(7)]
    seen: list[int] = []
    token = ""
    while True:
        page = await list_rules(world.ports, project_id=ALPHA, request=asked(page_size=3, page_token=token))
        assert page.total_size == 7
        seen += [rule.id for rule in page.items]
        token = page.next_page_token
        if not token:
            break
    assert seen == made


async def test_the_same_rule_is_there_once(world: World) -> None:
    rule = await make_rule(world, "v*", "app")
    # Another one in any part that Harbor compares.
    await make_rule(world, "v*", "app", priority=1)
    await make_rule(world, "not v*", "app")
    await make_rule(world, "v*", "app", project_id=BETA)

    again = await refusal(make_rule(world, "v*", "app", is_disabled=True))
    became = await refusal(change(world, rule, priority=1))

    assert (again.reason, again.message) == ("CONFLICT", "immutable rule already exists")
    assert (became.reason, became.message) == ("CONFLICT", "immutable rule already exists")
    assert await counted(world) == 3


async def test_a_project_has_fifteen_rules_at_most_however_they_come(world: World) -> None:
    await make_rule(world, "first")
    results = await asyncio.gather(
        *(make_rule(world, f"v{number}") for number in range(MOST_RULES + 3)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, DomainError)]
    # Those that gave up after some conflicts are told so. They may try again.
    final = [error for error in refused if error.reason != "UNAVAILABLE"]
    for _ in range(len(refused) - len(final)):
        await refusal(make_rule(world, "more")) if await counted(world) == MOST_RULES else await make_rule(
            world, f"w{await counted(world)}"
        )
    assert {(error.reason, error.message) for error in final} <= {
        ("BAD_REQUEST", "only 15 immutable rules are allowed at most")
    }
    assert await counted(world) == MOST_RULES == len(await listed(world, page_size=100))
    assert (await refusal(make_rule(world, "one more"))).reason == "BAD_REQUEST"
    await remove(world, (await listed(world))[0].id)
    await make_rule(world, "one more")


async def test_an_update_changes_what_it_names(world: World) -> None:
    rule = await make_rule(world, "v*", "app")
    world.later(hours=1)

    changed = await change(world, rule, is_disabled=True, tags=selectors("not latest"))

    assert await listed(world) == [changed]
    assert (changed.is_disabled, changed.tags, changed.repositories) == (
        True,
        selectors("not latest"),
        rule.repositories,
    )
    assert (changed.create_time, changed.update_time) == (rule.create_time, world.now)
    assert changed.etag != rule.etag
    assert (await refusal(change(world, rule, priority=3, etag=rule.etag))).reason == "PRECONDITION"
    # A repeat of a finished update still names the old etag.
    assert await change(world, rule, is_disabled=True, etag=rule.etag) == changed
    assert (await change(world, rule, priority=3, etag=f'"{changed.etag}"')).priority == 3


async def test_two_updates_from_one_state_do_not_both_succeed(world: World) -> None:
    rule = await make_rule(world)
    results = await asyncio.gather(
        *(change(world, rule, priority=number, etag=rule.etag) for number in range(1, 6)), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, ImmutableRule)]
    assert len(won) == 1
    assert {error.reason for error in results if isinstance(error, DomainError)} <= {"PRECONDITION", "UNAVAILABLE"}
    assert await listed(world) == won


async def test_a_rule_of_another_project_is_not_found(world: World) -> None:
    rule = await make_rule(world)
    await make_rule(world, project_id=BETA)
    for work in (
        change(world, rule, project_id=BETA, is_disabled=True),
        remove(world, rule.id, project_id=BETA),
        remove(world, 999),
        # No row of the project is made for it.
        remove(world, rule.id, project_id=3),
    ):
        error = await refusal(work)
        assert (error.reason, error.message.endswith("not found")) == ("IMMUTABLE_RULE_UNKNOWN", True)
    assert await world.value("SELECT count(*) FROM project WHERE id = 3") == 0
    await remove(world, rule.id)
    assert (await refusal(remove(world, rule.id))).reason == "IMMUTABLE_RULE_UNKNOWN"
    assert await counted(world) == 0


async def test_the_log_has_each_change_with_its_values(world: World) -> None:
    rule = await make_rule(world, "v*", "app")
    await change(world, rule, is_disabled=True)
    await change(world, rule, is_disabled=True)
    await remove(world, rule.id)

    changes = [each.change for each in await world.changes()]

    assert [each.kind for each in changes] == [
        ChangeKind.IMMUTABLE_RULE_CREATE,
        ChangeKind.IMMUTABLE_RULE_UPDATE,
        ChangeKind.IMMUTABLE_RULE_DELETE,
    ]
    assert {(each.project_id, each.resource_id) for each in changes} == {(ALPHA, rule.id)}
    assert [each.origin for each in changes] == [ORIGIN, OTHER_ORIGIN, OTHER_ORIGIN]
    made = {
        "disabled": False,
        "priority": 0,
        "action": "immutable",
        "template": "immutable_template",
        "repositories": [{"pattern": "app", "excluding": False}],
        "tags": [{"pattern": "v*", "excluding": False}],
    }
    assert [(each.old, each.new) for each in changes] == [
        (None, made),
        (made, made | {"disabled": True}),
        (made | {"disabled": True}, None),
    ]


async def test_a_repeat_with_the_same_key_makes_one_rule(world: World) -> None:
    def key(request: str) -> IdempotencyKey:
        return IdempotencyKey("user:9", "/roadstead.meta.v1.ImmutableRuleService/CreateImmutableRule", "k", request)

    made = await create_rule(world.ports, new_rule(), ORIGIN, key("one"))
    assert await create_rule(world.ports, new_rule(), ORIGIN, key("one")) == made
    assert (await refusal(create_rule(world.ports, new_rule("v*"), ORIGIN, key("two")))).reason == "CONFLICT"
    assert await counted(world) == 1
    await remove(world, made.id)
    gone = await refusal(create_rule(world.ports, new_rule(), ORIGIN, key("one")))
    assert (gone.reason, "deleted" in gone.message) == ("CONFLICT", True)


async def test_the_rules_of_a_project_go_with_it(world: World) -> None:
    await make_rule(world)
    kept = await make_rule(world, project_id=BETA)

    await delete_project(world.ports, ALPHA, ORIGIN)

    assert await world.rows("SELECT id FROM immutable_rule") == [(kept.id,)]
    assert await counted(world) == 0
    assert (await refusal(make_rule(world))).reason == "PROJECT_UNKNOWN"
