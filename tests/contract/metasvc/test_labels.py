"""Labels, and how people put them on artifacts."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from metasvc.domain.artifact import delete_named_artifact, get_artifact, list_artifacts
from metasvc.domain.artifact_label import add_artifact_label, remove_artifact_label
from metasvc.domain.label import LabelChange, create_label, delete_label, get_label, list_labels, update_label
from metasvc.domain.label_model import NO_PROJECT, Label, LabelScope, NewLabel
from metasvc.domain.lists import MOST_LISTED_LABEL_CHARACTERS, ArtifactParts, ArtifactView
from metasvc.domain.project import delete_project
from metasvc.domain.repository import delete_repository
from svckit.errors import Denied, DomainError, NotFound, Unauthenticated
from svckit.idempotency import IdempotencyKey
from svckit.listing import Page
from svckit.oci.reference import Reference
from tests.contract.metasvc.world import ORIGIN, OTHER_ORIGIN, World, asked, image

REPOSITORY = "alpha/app"
ALPHA, BETA = 1, 2
LABELLED = ArtifactParts(labels=True)


@dataclass
class Access:
    """The rights of a caller; see `domain.ports.LabelAccess`.

    Attributes:
        may: project id and action; `NO_PROJECT` for the system level. None allows everything.
        sees: the projects that the caller may see.
    """

    may: set[tuple[int, str]] | None = None
    sees: frozenset[int] = frozenset({ALPHA, BETA})
    is_known: bool = True
    checked: list[tuple[int, str]] = field(default_factory=list)

    async def check_identity(self) -> None:
        if not self.is_known:
            raise Unauthenticated

    async def check_project(self, project_id: int, action: str) -> None:
        self.checked.append((project_id, action))
        if self.may is not None and (project_id, action) not in self.may:
            await self.check_identity()
            raise Denied if project_id in self.sees else NotFound("PROJECT_UNKNOWN")

    async def check_system(self, action: str) -> None:
        self.checked.append((NO_PROJECT, action))
        if self.may is not None and (NO_PROJECT, action) not in self.may:
            await self.check_identity()
            raise Denied


EVERYTHING = Access()


def new(name: str = "stable", *, project_id: int = ALPHA, **more: str) -> NewLabel:
    return NewLabel(**{"project_id": project_id, "name": name, "description": "", "color": "", **more})  # type: ignore[arg-type]


async def create(world: World, name: str = "stable", *, project_id: int = ALPHA, **more: str) -> Label:
    return await create_label(world.ports, EVERYTHING, new(name, project_id=project_id, **more), ORIGIN)


async def change(world: World, label: Label, **values: str) -> Label:
    return await update_label(world.ports, EVERYTHING, label.id, LabelChange(**values), OTHER_ORIGIN)


async def listed(world: World, *, project_id: int = ALPHA, name: str = "", **request: Any) -> Page[Label]:
    scope = LabelScope.GLOBAL if project_id == NO_PROJECT else LabelScope.PROJECT
    return await list_labels(
        world.ports, EVERYTHING, scope=scope, project_id=project_id, name=name, request=asked(**request)
    )


async def names(world: World, **request: Any) -> list[str]:
    page = await listed(world, **request)
    assert page.total_size >= len(page.items)
    return [label.name for label in page.items]


async def put(
    world: World, label: Label, reference: str = "v1", *, repository: str = REPOSITORY, project_id: int = ALPHA
) -> None:
    await add_artifact_label(
        world.ports,
        project_id=project_id,
        repository=repository,
        reference=Reference.parse(reference),
        label_id=label.id,
        origin=OTHER_ORIGIN,
    )


async def take(world: World, label: Label, reference: str = "v1") -> None:
    await remove_artifact_label(
        world.ports,
        project_id=ALPHA,
        repository=REPOSITORY,
        reference=Reference.parse(reference),
        label_id=label.id,
        origin=OTHER_ORIGIN,
    )


async def got(world: World, reference: str = "v1", parts: ArtifactParts = LABELLED) -> ArtifactView:
    return await get_artifact(
        world.ports, project_id=ALPHA, repository=REPOSITORY, reference=Reference.parse(reference), parts=parts
    )


async def found(world: World, parts: ArtifactParts = LABELLED, **request: Any) -> list[ArtifactView]:
    page = await list_artifacts(
        world.ports, project_id=ALPHA, repository=REPOSITORY, request=asked(**request), parts=parts
    )
    assert page.total_size == len(page.items)
    return list(page.items)


async def reason_of(work: Awaitable[object]) -> str:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value.reason


async def test_a_label_is_what_was_created(world: World) -> None:
    made = await create(world, "Größe 1", description="what it is", color="#0065AB")

    assert await get_label(world.ports, EVERYTHING, made.id) == made
    assert (made.name, made.description, made.color) == ("Größe 1", "what it is", "#0065AB")
    assert (made.scope, made.project_id, made.create_time) == (LabelScope.PROJECT, ALPHA, world.now)
    everywhere = await create(world, project_id=NO_PROJECT)
    assert (everywhere.scope, everywhere.project_id) == (LabelScope.GLOBAL, NO_PROJECT)


async def test_a_name_is_unique_in_its_project_and_among_the_global_ones(world: World) -> None:
    for owner in (ALPHA, BETA, NO_PROJECT):
        await create(world, project_id=owner)
        assert await reason_of(create(world, project_id=owner)) == "CONFLICT"
        other = await create(world, "Stable", project_id=owner)
        assert await reason_of(change(world, other, name="stable")) == "CONFLICT"
        assert (await get_label(world.ports, EVERYTHING, other.id)).name == "Stable"


async def test_many_who_create_one_name_make_one_label(world: World) -> None:
    answers = await asyncio.gather(*(create(world) for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(answer, Label) for answer in answers) == 1
    assert {answer.reason for answer in answers if isinstance(answer, DomainError)} == {"CONFLICT"}


async def test_many_who_take_one_name_leave_one_with_it(world: World) -> None:
    labels = [await create(world, f"label {number}") for number in range(6)]

    answers = await asyncio.gather(*(change(world, label, name="taken") for label in labels), return_exceptions=True)

    assert sum(isinstance(answer, Label) for answer in answers) == 1
    assert {answer.reason for answer in answers if isinstance(answer, DomainError)} == {"CONFLICT"}
    assert (await names(world)).count("taken") == 1


async def test_a_repeat_with_its_key_answers_as_the_first_did(world: World) -> None:
    key = IdempotencyKey("user:7", "CreateLabel", "k", "request")

    async def repeated(key: IdempotencyKey = key) -> Label:
        return await create_label(world.ports, EVERYTHING, new(), ORIGIN, key)

    made = await repeated()
    assert await repeated() == made
    assert await reason_of(repeated(replace(key, request_hash="other"))) == "CONFLICT"
    await delete_label(world.ports, EVERYTHING, made.id, ORIGIN)
    assert await reason_of(repeated()) == "CONFLICT"


async def test_an_update_changes_what_it_names_and_is_refused_if_another_came_first(world: World) -> None:
    made = await create(world, description="text", color="#fff")
    world.later(hours=1)

    changed = await change(world, made, name="new", etag=made.etag)

    assert (changed.name, changed.description, changed.color) == ("new", "text", "#fff")
    assert (changed.create_time, changed.update_time) == (made.create_time, world.now)
    assert changed.etag != made.etag
    # A repeat, with the etag of the first time.
    assert await change(world, made, name="new", etag=made.etag) == changed
    assert await reason_of(change(world, made, name="newer", etag=made.etag)) == "PRECONDITION"


async def test_what_is_not_there_is_unknown(world: World) -> None:
    gone = await create(world)
    await delete_label(world.ports, EVERYTHING, gone.id, ORIGIN)

    assert await reason_of(get_label(world.ports, EVERYTHING, gone.id)) == "LABEL_UNKNOWN"
    assert await reason_of(change(world, gone, name="x")) == "LABEL_UNKNOWN"
    assert await reason_of(delete_label(world.ports, EVERYTHING, gone.id, ORIGIN)) == "LABEL_UNKNOWN"
    assert await reason_of(create(world, project_id=9)) == "PROJECT_UNKNOWN"
    stranger = Access(is_known=False)
    assert await reason_of(get_label(world.ports, stranger, gone.id)) == "UNAUTHORIZED"


@pytest.mark.parametrize("action", ["read", "update", "delete"])
async def test_a_label_that_the_caller_may_not_see_is_like_none(world: World, action: str) -> None:
    label = await create(world)

    async def attempt(access: Access) -> str:
        work: dict[str, Awaitable[object]] = {
            "read": get_label(world.ports, access, label.id),
            "update": update_label(world.ports, access, label.id, LabelChange(name="x"), ORIGIN),
            "delete": delete_label(world.ports, access, label.id, ORIGIN),
        }
        wanted = work.pop(action)
        for other in work.values():
            other.close()  # type: ignore[attr-defined]
        return await reason_of(wanted)

    assert await attempt(Access(may=set(), sees=frozenset())) == "LABEL_UNKNOWN"
    assert await attempt(Access(may={(BETA, action), (NO_PROJECT, action)}, sees=frozenset({BETA}))) == "LABEL_UNKNOWN"
    # Who sees the project and not its labels, and who reads them.
    assert await attempt(Access(may=set())) == "LABEL_UNKNOWN"
    if action != "read":
        assert await attempt(Access(may={(ALPHA, "read")})) == "FORBIDDEN"


async def test_a_right_in_a_project_is_none_on_the_system_level(world: World) -> None:
    member = Access(may={(ALPHA, action) for action in ("create", "read", "update", "delete", "list")})
    everywhere = await create(world, project_id=NO_PROJECT)

    assert await reason_of(create_label(world.ports, member, new(project_id=NO_PROJECT), ORIGIN)) == "FORBIDDEN"
    assert await reason_of(get_label(world.ports, member, everywhere.id)) == "FORBIDDEN"
    assert await reason_of(delete_label(world.ports, member, everywhere.id, ORIGIN)) == "FORBIDDEN"


async def test_lists_are_of_one_project_or_of_the_global_ones(world: World) -> None:
    await create(world, "a")
    await create(world, "b", project_id=BETA)
    await create(world, "c", project_id=NO_PROJECT)

    assert await names(world) == ["a"]
    assert await names(world, project_id=BETA) == ["b"]
    assert await names(world, project_id=NO_PROJECT) == ["c"]
    nobody = Access(may=set(), sees=frozenset())
    anyone = list_labels(world.ports, nobody, scope=LabelScope.GLOBAL, project_id=ALPHA, name="", request=asked())
    assert [label.name for label in (await anyone).items] == ["c"]
    hidden = list_labels(world.ports, nobody, scope=LabelScope.PROJECT, project_id=ALPHA, name="", request=asked())
    assert await reason_of(hidden) == "PROJECT_UNKNOWN"
    nameless = list_labels(world.ports, EVERYTHING, scope=LabelScope.PROJECT, project_id=0, name="", request=asked())
    assert await reason_of(nameless) == "BAD_REQUEST"
    stranger = Access(is_known=False)
    closed = list_labels(world.ports, stranger, scope=LabelScope.GLOBAL, project_id=0, name="", request=asked())
    assert await reason_of(closed) == "UNAUTHORIZED"


async def test_lists_are_filtered_and_sorted(world: World) -> None:
    for name, color in (("beta", "#fff"), ("alpha", "#000"), ("Gamma", "#fff"), ("100%", "")):
        world.later(hours=1)
        await create(world, name, color=color, description=f"about {name}")

    assert await names(world) == ["100%", "Gamma", "alpha", "beta"]
    assert await names(world, sort="name") == ["100%", "Gamma", "alpha", "beta"]
    assert await names(world, sort="-name") == ["beta", "alpha", "Gamma", "100%"]
    assert await names(world, name="A", sort="name") == ["Gamma", "alpha", "beta"]
    assert await names(world, name="%") == ["100%"]
    assert await names(world, name="a", q="color=#fff", sort="name") == ["Gamma", "beta"]
    assert await names(world, q="name={beta 100%}") == ["100%", "beta"]
    assert await names(world, q="description=~ABOUT g") == ["Gamma"]
    assert await names(world, q="creation_time=[2026-01-01T02:00:00~2026-01-01T03:00:00]") == ["Gamma", "alpha"]
    assert await reason_of(listed(world, q="scope=g")) == "BAD_REQUEST"
    assert await reason_of(listed(world, sort="color")) == "BAD_REQUEST"


@pytest.mark.parametrize("sort", ["", "name", "-update_time,name", "id"])
async def test_pages_by_token_show_each_once_although_some_are_created_meanwhile(world: World, sort: str) -> None:
    made = [await create(world, f"label {number:02}") for number in range(7)]
    shown: list[str] = []
    token = ""
    while True:
        page = await listed(world, sort=sort, page_size=2, page_token=token)
        assert page.total_size == 7
        shown += [label.name for label in page.items]
        token = page.next_page_token
        if not token:
            break
        await create(world, f"label 0 {len(shown)}")

    assert sorted(name for name in shown if name in {label.name for label in made}) == [label.name for label in made]
    assert len(set(shown)) == len(shown)


async def test_an_artifact_shows_the_labels_that_were_put_on_it(world: World) -> None:
    await world.push(REPOSITORY, image("one"), "v1")
    await world.push(REPOSITORY, image("two"), "v2")
    own = await create(world, "own", description="x" * (MOST_LISTED_LABEL_CHARACTERS + 1))
    everywhere = await create(world, "everywhere", project_id=NO_PROJECT)

    await put(world, own)
    await put(world, everywhere, image("one").digest)
    await put(world, own, "v2")

    assert (await got(world)).labels == (everywhere, own)
    assert (await got(world, "v2")).labels == (own,)
    assert (await got(world, parts=ArtifactParts())).labels == ()
    shown = {view.tags[0].name: [label.name for label in view.labels] for view in await found(world)}
    assert shown == {"v1": ["everywhere", "own"], "v2": ["own"]}
    # A list leaves out a long description.
    assert {label.description for view in await found(world) for label in view.labels} == {""}
    assert {view.labels for view in await found(world, ArtifactParts())} == {()}
    assert await reason_of(put(world, own)) == "CONFLICT"

    await take(world, own)
    assert (await got(world)).labels == (everywhere,)
    assert await reason_of(take(world, own)) == "LABEL_UNKNOWN"


async def test_q_asks_for_labels(world: World) -> None:
    one, two, three = await create(world, "one"), await create(world, "two"), await create(world, "three")
    for number, labels in enumerate(((one,), (one, two), (), (three,))):
        await world.push(REPOSITORY, image(f"i{number}"), f"v{number}")
        for label in labels:
            await put(world, label, f"v{number}")

    async def tags(q: str) -> set[str]:
        return {view.tags[0].name for view in await found(world, q=q)}

    assert await tags(f"labels=({one.id})") == {"v0", "v1"}
    assert await tags(f"labels=({one.id} {two.id})") == {"v1"}
    assert await tags(f"labels=({one.id} {three.id})") == set()
    assert await tags(f"labels={{{two.id} {three.id}}}") == {"v1", "v3"}
    assert await tags(f"labels={three.id}") == {"v3"}
    assert await tags(f"labels=({one.id}),tags=~0") == {"v0"}


async def test_a_label_of_another_project_is_unknown(world: World) -> None:
    await world.push(REPOSITORY, image("one"), "v1")
    foreign = await create(world, project_id=BETA)

    assert await reason_of(put(world, foreign)) == "LABEL_UNKNOWN"

    assert (await got(world)).labels == ()
    own = await create(world)
    for repository, project_id, reference in (
        ("alpha/none", ALPHA, "v1"),
        (REPOSITORY, ALPHA, "v2"),
        (REPOSITORY, ALPHA, image("two").digest),
        (REPOSITORY, BETA, "v1"),
    ):
        attempt = put(world, own, reference, repository=repository, project_id=project_id)
        assert await reason_of(attempt) == "NOT_FOUND"


async def test_a_deleted_label_is_on_no_artifact(world: World) -> None:
    await world.push(REPOSITORY, image("one"), "v1")
    label, other = await create(world), await create(world, "other")
    for each in (label, other):
        await put(world, each)

    await delete_label(world.ports, EVERYTHING, label.id, ORIGIN)

    assert (await got(world)).labels == (other,)
    assert await reason_of(put(world, label)) == "LABEL_UNKNOWN"


async def test_artifacts_and_repositories_go_with_their_labels_and_labels_stay(world: World) -> None:
    label = await create(world)
    for name in ("one", "two"):
        await world.push(REPOSITORY, image(name), name)
        await put(world, label, name)

    await delete_named_artifact(
        world.ports, project_id=ALPHA, repository=REPOSITORY, reference=Reference.parse("one"), origin=ORIGIN
    )
    assert await world.value("SELECT count(*) FROM artifact_label") == 1
    await delete_repository(world.ports, project_id=ALPHA, name=REPOSITORY, origin=ORIGIN)
    assert await world.value("SELECT count(*) FROM artifact_label") == 0
    assert await names(world) == ["stable"]


async def test_a_deleted_project_takes_its_labels_along(world: World) -> None:
    await create(world)
    await create(world, project_id=BETA)
    await create(world, project_id=NO_PROJECT)

    await delete_project(world.ports, ALPHA, ORIGIN)

    assert [row.project_id for row in await world.rows("SELECT project_id FROM label ORDER BY 1")] == [NO_PROJECT, BETA]
    assert await reason_of(create(world)) == "PROJECT_UNKNOWN"


async def test_a_label_is_put_on_an_artifact_or_deleted_and_never_half(world: World) -> None:
    await world.push(REPOSITORY, image("one"), "v1")
    for number in range(10):
        label = await create(world, f"label {number}")
        answers = await asyncio.gather(
            put(world, label), delete_label(world.ports, EVERYTHING, label.id, ORIGIN), return_exceptions=True
        )
        assert answers[1] is None
        assert answers[0] is None or getattr(answers[0], "reason", "") == "LABEL_UNKNOWN"
    assert (await got(world)).labels == ()


async def test_the_log_says_what_was_done(world: World) -> None:
    await world.push(REPOSITORY, image("one"), "v1")
    before = len(await world.changes())
    label = await create(world, color="#fff")
    await change(world, label, color="#000")
    await put(world, label)
    await take(world, label)
    await delete_label(world.ports, EVERYTHING, label.id, ORIGIN)

    recorded = [each.change for each in (await world.changes())[before:]]

    assert [each.kind for each in recorded] == [
        "label_create",
        "label_update",
        "artifact_label_add",
        "artifact_label_remove",
        "label_delete",
    ]
    assert {each.project_id for each in recorded} == {ALPHA}
    assert (recorded[1].old or {})["color"] == "#fff"
    assert (recorded[1].new or {})["color"] == "#000"
    assert [(each.resource_id, each.resource_name) for each in (recorded[0], recorded[4])] == [(label.id, "stable")] * 2
    assert [(each.resource_name, each.reference, each.digest) for each in recorded[2:4]] == [
        (REPOSITORY, "stable", image("one").digest)
    ] * 2
    assert [each.origin for each in recorded[:3]] == [ORIGIN, OTHER_ORIGIN, OTHER_ORIGIN]
