"""Tags over the wire: moved many at once, under conditions, and listed in pages."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.harness.images import digest_of
from tests.harness.installation import on_both_servers
from tests.harness.repository import MakeRepository, Repository, dumped, error_code, next_link

pytestmark = [pytest.mark.usefixtures("no_errors_logged"), on_both_servers]


@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_put_by_digest_moves_all_its_tags(stocked: Repository, count: int) -> None:
    content = dumped(stocked.manifest())
    tags = [f"{n:03}{'x' * 125}" for n in range(count)]
    answer = stocked.put(digest_of(content), content, query="?" + "&".join(f"tag={tag}" for tag in tags))
    assert answer.status_code == 201
    assert answer.headers.get_list("OCI-Tag") == tags
    assert stocked.tag_names() == tags


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("&".join(f"tag=t{n}" for n in range(101)), 414, "UNSUPPORTED"),
        ("tag=good&tag=.bad", 400, "TAG_INVALID"),
        ("tag=good&tag=", 400, "TAG_INVALID"),
        ("tag=good&tag=a%20b", 400, "TAG_INVALID"),
        ("tag=good&tag=a%2Fb", 400, "TAG_INVALID"),
        ("tag=good&tag=" + "x" * 129, 400, "TAG_INVALID"),
        ("tag=good&tag=sha256:" + "0" * 64, 400, "TAG_INVALID"),
        ("tag=good&tag=%C3%A9", 400, "TAG_INVALID"),
        ("tag=good&tag=%00", 400, "UNSUPPORTED"),
        ("tag=good&tag=%ff", 400, "UNSUPPORTED"),
        ("tag=" + "x" * 20_000, 414, "UNSUPPORTED"),
    ],
)
def test_one_bad_tag_leaves_nothing_written(stocked: Repository, query: str, status: int, code: str) -> None:
    content = dumped(stocked.manifest())
    answer = stocked.put(digest_of(content), content, query=f"?{query}")
    assert (answer.status_code, error_code(answer)) == (status, code)
    assert stocked.get(digest_of(content)).status_code == 404
    assert stocked.get("good").status_code == 404


def test_a_tag_that_is_asked_for_twice_is_one(stocked: Repository) -> None:
    content = dumped(stocked.manifest())
    answer = stocked.put(digest_of(content), content, query="?tag=a&tag=a")
    assert (answer.status_code, answer.headers.get_list("OCI-Tag")) == (201, ["a"])


def test_tags_beside_a_tag_are_refused_with_the_reason(stocked: Repository) -> None:
    answer = stocked.put("v1", dumped(stocked.manifest()), query="?tag=v2")
    assert answer.status_code == 400
    assert "tags" in answer.json()["errors"][0]["message"]


class TestConditions:
    """cosign reads its tags, adds to them, and writes them back."""

    def test_a_write_goes_through_while_nobody_else_wrote(self, stocked: Repository) -> None:
        first, second = (dumped(stocked.manifest(annotations={"n": str(n)})) for n in range(2))
        assert stocked.put("sig", first, If_None_Match="*").status_code == 201
        read = stocked.get("sig").headers["ETag"]
        assert stocked.put("sig", second, If_Match=read).status_code == 201
        late = stocked.put("sig", first, If_Match=read)
        assert (late.status_code, error_code(late)) == (412, "PRECONDITION")
        assert stocked.get("sig").content == second

    @pytest.mark.parametrize(
        ("header", "value", "status"),
        [
            ("If_Match", "*", 201),
            ("If_Match", '"sha256:{zeros}"', 412),
            ("If_Match", '"sha256:{zeros}", "{digest}"', 201),
            ("If_Match", "{digest}", 201),
            ("If_Match", '"{digest}', 400),
            ("If_Match", "", 400),
            ("If_None_Match", "*", 412),
            ("If_None_Match", '"{digest}"', 412),
            ("If_None_Match", '"sha256:{zeros}"', 201),
        ],
    )
    def test_what_holds_and_what_does_not(self, stocked: Repository, header: str, value: str, status: int) -> None:
        before, after = (dumped(stocked.manifest(annotations={"n": str(n)})) for n in range(2))
        stocked.put("tag", before)
        condition = value.format(zeros="0" * 64, digest=digest_of(before))
        assert stocked.put("tag", after, **{header: condition}).status_code == status
        assert stocked.get("tag").content == (after if status == 201 else before)

    def test_a_tag_that_is_not_there_matches_nothing(self, stocked: Repository) -> None:
        assert stocked.put("new", dumped(stocked.manifest()), If_Match="*").status_code == 412
        assert stocked.get("new").status_code == 404

    @pytest.mark.parametrize("by_digest", [False, True])
    @pytest.mark.parametrize(
        ("header", "condition", "status"),
        [
            ("If-Match", "*", 202),
            ("If-Match", '"sha256:{zeros}", "{digest}"', 202),
            ("If-Match", '"sha256:{zeros}"', 412),
            ("If-Match", 'W/"{digest}"', 412),
            ("If-Match", '"{digest}', 400),
            ("If-None-Match", '"sha256:{zeros}"', 202),
            ("If-None-Match", '"sha256:{zeros}", W/"{digest}"', 412),
            ("If-None-Match", "*", 412),
            ("If-None-Match", '"{digest}', 400),
        ],
    )
    def test_a_delete_keeps_its_condition(
        self, stocked: Repository, by_digest: bool, header: str, condition: str, status: int
    ) -> None:
        content = dumped(stocked.manifest())
        stocked.put("tag", content)
        reference = digest_of(content) if by_digest else "tag"
        wanted = {header: condition.format(zeros="0" * 64, digest=digest_of(content))}
        answer = stocked.http.delete(f"{stocked.path}/manifests/{reference}", headers=wanted)
        assert answer.status_code == status
        assert stocked.get(reference).status_code == (404 if status == 202 else 200)

    def test_of_many_that_read_the_same_one_writes(self, stocked: Repository) -> None:
        stocked.put("sig", dumped(stocked.manifest()))
        read = stocked.get("sig").headers["ETag"]
        contents = [dumped(stocked.manifest(annotations={"writer": str(n)})) for n in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda content: stocked.put("sig", content, If_Match=read), contents))
        assert sorted(answer.status_code for answer in answers) == [201] + [412] * 5
        [winner] = [answer.headers["Docker-Content-Digest"] for answer in answers if answer.status_code == 201]
        assert digest_of(stocked.get("sig").content) == winner


@pytest.mark.parametrize("tag", ["1.0_build.5", "_", "A", "a" * 128, "0", "a--b", "a..b", "sha256-" + "0" * 64])
def test_tags_that_clients_use_are_taken(stocked: Repository, tag: str) -> None:
    # helm writes the + of a version as _.
    assert stocked.put(tag, dumped(stocked.manifest())).status_code == 201
    assert stocked.tag_names() == [tag]


class TestTagsList:
    @pytest.fixture
    def tagged(self, stocked: Repository) -> Repository:
        content = dumped(stocked.manifest())
        tags = ["B", "a", "a.1", "a_1", *(f"t{n:02}" for n in range(16))]
        stocked.put(digest_of(content), content, query="?" + "&".join(f"tag={tag}" for tag in tags))
        return stocked

    def test_everything_comes_in_one_answer_and_in_order(self, tagged: Repository) -> None:
        answer = tagged.tags()
        assert answer.json() == {"name": tagged.name, "tags": sorted(answer.json()["tags"])}
        assert len(answer.json()["tags"]) == 20
        assert "Link" not in answer.headers
        head = tagged.http.head(f"{tagged.path}/tags/list")
        assert head.headers["Content-Length"] == str(len(answer.content))

    @pytest.mark.parametrize(
        ("query", "first", "count", "has_more"),
        [
            ("?n=0", "", 0, False),
            ("?n=0&last=a", "", 0, False),
            ("?n=1", "B", 1, True),
            ("?n=19", "B", 19, True),
            ("?n=20", "B", 20, False),
            ("?n=21", "B", 20, False),
            ("?n=999999999999999999", "B", 20, False),
            ("?n=007", "B", 7, True),
            ("?last=a", "a.1", 18, False),
            ("?last=a&n=18", "a.1", 18, False),
            ("?last=a&n=17", "a.1", 17, True),
            ("?last=", "B", 20, False),
            ("?last=t14", "t15", 1, False),
            ("?last=t15", "", 0, False),
            ("?last=t15&n=5", "", 0, False),
            ("?last=zzz", "", 0, False),
            ("?last=A", "B", 20, False),
            ("?last=not-a-tag/%20%F0%9F%92%A9", "t00", 16, False),
            ("?last=" + "t" * 9000, "", 0, False),
            ("?last=a%27%20OR%201=1", "a.1", 18, False),
            ("?unknown=1&n=2", "B", 2, True),
        ],
    )
    def test_n_and_last(self, tagged: Repository, query: str, first: str, count: int, has_more: bool) -> None:
        answer = tagged.tags(query)
        found = answer.json()["tags"]
        assert (found[0] if found else "", len(found)) == (first, count)
        assert (next_link(answer) is not None) == has_more

    @pytest.mark.parametrize("query", ["n=-1", "n=x", "n=", "n=1e3", "n=%2B1", "n=1.0", "n=" + "9" * 40, "n=%00"])
    def test_a_number_that_is_none_is_400(self, tagged: Repository, query: str) -> None:
        assert tagged.tags(f"?{query}").status_code == 400

    @pytest.mark.parametrize("size", [1, 3, 20])
    def test_the_links_lead_through_all_of_them_once(self, tagged: Repository, size: int) -> None:
        found: list[str] = []
        following: str | None = f"{tagged.path}/tags/list?n={size}"
        while following:
            answer: httpx.Response = tagged.http.get(following)
            found += answer.json()["tags"]
            following = next_link(answer)
        assert found == tagged.tag_names()

    def test_an_unknown_repository_is_404_and_one_without_tags_is_empty(
        self, stocked: Repository, make_repository: MakeRepository
    ) -> None:
        assert error_code(make_repository().tags()) == "NAME_UNKNOWN"
        content = dumped(stocked.manifest())
        stocked.put(digest_of(content), content)
        assert stocked.tags().json() == {"name": stocked.name, "tags": []}
