"""The parsers of the wire, each by itself."""

import random
from ipaddress import ip_network

import pytest

from gateway.wire.conditions import client_has, parse_entity_tags
from gateway.wire.credentials import Basic, Bearer, parse_authorization
from gateway.wire.links import next_page
from gateway.wire.origin import Origin, OriginReader, is_within
from gateway.wire.ranges import ByteRange, Multipart, UnsatisfiableRange, parse_range, parse_upload_range, upload_range
from gateway.wire.request import decode_path
from svckit.errors import DomainError


def test_ranges_never_leave_the_blob_and_never_exceed_it_together() -> None:
    generator = random.Random(7)
    for _ in range(3000):
        size = generator.randrange(50)
        specs = [
            generator.choice(["", str(generator.randrange(60))])
            + "-"
            + generator.choice(["", str(generator.randrange(60))])
            for _ in range(generator.randrange(1, 5))
        ]
        try:
            found = parse_range("bytes=" + ", ".join(specs), size, 1000)
        except UnsatisfiableRange:
            continue
        assert all(0 <= each.first <= each.last < size for each in found)
        assert sum(each.length for each in found) <= size


def test_ranges_beyond_the_end_are_left_out_where_others_are_within() -> None:
    assert parse_range("bytes=0-1,90-,5-5", 10, 9) == (ByteRange(0, 1), ByteRange(5, 5))


def test_a_multipart_frame_knows_its_size_beforehand() -> None:
    ranges = (ByteRange(0, 4), ByteRange(90, 99))
    frame = Multipart.of(ranges, 100, "application/x")
    body = b"".join(head + b"." * each.length for head, each in zip(frame.heads, ranges, strict=True)) + frame.tail
    assert len(body) == frame.size_bytes
    assert body.count(frame.boundary.encode()) == 3


@pytest.mark.parametrize("text", ["", "0", "0-1-2", "a-b", "-5", "\u0660-\u0661", "bytes 0-1", "0-1/2"])
def test_only_plain_upload_ranges_are_read(text: str) -> None:
    assert parse_upload_range(" 0-1 ") == ByteRange(0, 1)
    with pytest.raises(DomainError) as refused:
        parse_upload_range(text)
    assert refused.value.reason == "BLOB_UPLOAD_INVALID"


def test_an_empty_upload_says_0_0() -> None:
    assert [upload_range(size) for size in (0, 1, 2, 1000)] == ["0-0", "0-0", "0-1", "0-999"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], ()),
        (["*"], ("*",)),
        (['"a"'], ("a",)),
        (['W/"a", "b,c"', '"d"'], ("a", "b,c", "d")),
    ],
)
def test_entity_tags_are_what_stands_in_the_quotes(headers: list[str], expected: tuple[str, ...]) -> None:
    assert parse_entity_tags(headers) == expected


@pytest.mark.parametrize("header", ["a", '"a', "", '"a" "b"', "*, *", 'w/"a"'])
def test_malformed_entity_tags_are_refused(header: str) -> None:
    with pytest.raises(DomainError):
        parse_entity_tags([header])


@pytest.mark.parametrize(
    ("header", "has"), [('"d"', True), ("d", True), ("*", True), ('W/"x", "d"', True), ('"x"', False), ("x", False)]
)
def test_a_read_understands_tags_without_quotes(header: str, has: bool) -> None:
    assert client_has([header], "d") is has
    assert not client_has([], "d")


def test_credentials_are_read_and_never_shown() -> None:
    # alice:a:b
    basic = parse_authorization(["basic YWxpY2U6YTpi"])
    assert basic == Basic("alice", "a:b")
    bearer = parse_authorization(["BEARER abc.def"])
    assert bearer == Bearer("abc.def")
    assert "a:b" not in repr(basic)
    assert "abc" not in repr(bearer)
    assert parse_authorization([]) is None


@pytest.mark.parametrize(
    "values", [["Basic YQ=="], ["Basic OnNlY3JldA=="], ["Bearer é"], ["Bearer a", "Bearer b"], ["x" * 30_000], [""]]
)
def test_malformed_credentials_are_refused_without_being_repeated(values: list[str]) -> None:
    with pytest.raises(DomainError) as refused:
        parse_authorization(values)
    assert refused.value.reason == "UNAUTHORIZED"
    assert "YQ==" not in refused.value.message


def test_addresses_are_believed_as_far_as_the_proxies_reach() -> None:
    reader = OriginReader([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])

    def client(peer: str | None, *forwarded: str) -> str:
        return reader.read(peer, "http", "h", forwarded, "", "").client_address

    assert client("203.0.113.1", "1.1.1.1") == "203.0.113.1"
    assert client("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2") == "1.1.1.1"
    assert client("10.0.0.1", "1.1.1.1", "10.0.0.3") == "1.1.1.1"
    assert client("10.0.0.1", "garbage") == "10.0.0.1"
    assert client("10.0.0.1") == "10.0.0.1"
    assert client("::ffff:10.0.0.1", "::ffff:1.1.1.1") == "1.1.1.1"
    assert client("fd00::1", "2001:db8::1") == "2001:db8::1"
    assert client(None, "1.1.1.1") == ""


def test_the_host_and_scheme_of_a_trusted_proxy_win_and_those_of_others_do_not() -> None:
    reader = OriginReader([ip_network("10.0.0.0/8")])
    assert reader.read("10.0.0.1", "http", "inside", [], "https", "a.example, b.example:8443") == Origin(
        "10.0.0.1", "https", "b.example:8443"
    )
    assert reader.read("1.1.1.1", "http", "[::1]:80", [], "https", "a.example") == Origin("1.1.1.1", "http", "[::1]:80")
    assert reader.read("10.0.0.1", "http", "inside", [], "gopher", "") == Origin("10.0.0.1", "http", "inside")
    assert reader.read("1.1.1.1", "http", 'a",realm="b', [], "", "").host == ""


def test_a_unix_socket_is_this_machine() -> None:
    local = [ip_network("127.0.0.0/8")]
    assert is_within(None, local)
    assert is_within("127.0.0.5", local)
    assert not is_within("10.0.0.1", local)
    assert not is_within("nonsense", local)


@pytest.mark.parametrize("raw", ["/%", "/%4", "/%gg", "/%00", "/%ff", "/a%0ab", "/%7f"])
def test_paths_that_cannot_be_decoded_are_refused(raw: str) -> None:
    with pytest.raises(DomainError):
        decode_path(raw)


def test_a_path_is_decoded_once() -> None:
    assert decode_path("/a%252Fb%2Fc%C3%BC") == "/a%2Fb/cü"


def test_links_are_relative_and_encoded() -> None:
    name, value = next_page("/v2/a/b/tags/list", {"n": 2, "last": "x&y z"})
    assert (name, value) == ("Link", '</v2/a/b/tags/list?n=2&last=x%26y+z>; rel="next"')
