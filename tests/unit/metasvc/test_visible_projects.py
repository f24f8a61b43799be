import pytest

from metasvc.clients.visible_projects import RememberedVisibleProjects
from svckit.access.call import Call, serving
from svckit.access.decision import AccessibleProjects
from svckit.errors import Unavailable


class Lister:
    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str, str]] = []
        self.failure: Exception | None = None

    async def accessible_projects(self, call: Call, resource: str, action: str) -> AccessibleProjects:
        self.asked.append((call.token, resource, action))
        if self.failure is not None:
            raise self.failure
        return AccessibleProjects(all=False, project_ids=frozenset({len(self.asked)}))

    async def project_count(self, call: Call) -> int:
        return 7 if call.token == "a" else 0


class Watch:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def ask(visible: RememberedVisibleProjects, token: str | None) -> AccessibleProjects:
    with serving(Call("/list", token=token)):
        return await visible.listable()


async def test_an_answer_is_remembered_for_two_seconds_and_for_nobody_else() -> None:
    lister, watch = Lister(), Watch()
    visible = RememberedVisibleProjects(lister, clock=watch)
    first = await ask(visible, "a")
    watch.seconds += 1.9
    assert await ask(visible, "a") == first
    other = await ask(visible, "b")
    assert await ask(visible, None) not in (first, other)
    watch.seconds += 0.2
    assert await ask(visible, "a") != first
    assert lister.asked == [(token, "repository", "list") for token in ("a", "b", None, "a")]


async def test_a_failure_is_not_remembered() -> None:
    lister = Lister()
    visible = RememberedVisibleProjects(lister)
    lister.failure = Unavailable()
    with pytest.raises(Unavailable):
        await ask(visible, "a")
    lister.failure = None
    assert (await ask(visible, "a")).project_ids == {2}


async def test_what_is_remembered_is_bounded() -> None:
    lister = Lister()
    visible = RememberedVisibleProjects(lister, remembered_answers=2)
    for token in ("a", "b", "c", "b", "a"):
        await ask(visible, token)
    assert [token for token, _, _ in lister.asked] == ["a", "b", "c", "a"]


def test_longer_than_two_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds"):
        RememberedVisibleProjects(Lister(), 3)


async def test_what_is_public_is_asked_for_without_the_caller_s_token() -> None:
    lister = Lister()
    visible = RememberedVisibleProjects(lister)
    with serving(Call("/count", token="a", request_id="r")):
        public = await visible.public()
        assert await visible.public() == public != await visible.listable()
        assert await visible.project_count() == 7
    assert [token for token, _, _ in lister.asked] == [None, "a"]
