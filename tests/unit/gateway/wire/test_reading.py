"""The parsers of the wire, each by itself."""

import itertools
import random
import time
from ipaddress import ip_network

import pytest

from gateway.config import ForwardedForm
from gateway.wire.conditions import is_not_modified, parse_if_match, parse_if_none_match, require_conditions
from gateway.wire.credentials import Basic, Bearer, parse_authorization
from gateway.wire.headers import Headers
from gateway.wire.links import next_page
from gateway.wire.origin import ForwardedHeaders, Origin, OriginReader, is_within, parse_address
from gateway.wire.ranges import (
    BlobRead,
    ByteRange,
    Multipart,
    UnsatisfiableRange,
    parse_range,
    parse_upload_range,
    plan_reads,
    upload_range,
)
from gateway.wire.request import decode_path
from svckit.errors import DomainError


def sent(name: str, *values: str) -> Headers:
    """The headers of a request in which one is sent so often."""
    return Headers((name.encode(), value.encode("latin-1")) for value in values)


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


def test_joined_ranges_hold_the_same_bytes_and_neither_overlap_nor_touch() -> None:
    generator = random.Random(3)
    for _ in range(2000):
        pairs = [sorted(generator.choices(range(60), k=2)) for _ in range(generator.randrange(1, 9))]
        found = parse_range("bytes=" + ",".join(f"{first}-{last}" for first, last in pairs), 60, 1000)
        asked = {byte for first, last in pairs for byte in range(first, last + 1)}
        assert sorted(byte for each in found for byte in range(each.first, each.last + 1)) == sorted(asked)
        ascending = sorted(found, key=lambda each: each.first)
        assert all(one.last + 1 < other.first for one, other in itertools.pairwise(ascending))
        # The order of the request: each range stands where the first of its parts stood.
        places = [
            min(place for place, (first, _) in enumerate(pairs) if each.first <= first <= each.last) for each in found
        ]
        assert places == sorted(places)


def test_ranges_with_small_gaps_share_a_read_and_a_thousand_far_ones_give_the_whole() -> None:
    near = tuple(ByteRange(10 * n, 10 * n + 1) for n in range(1000))
    assert plan_reads(near) == (BlobRead(near),)
    assert plan_reads(near[::-1]) == (BlobRead(near),)
    few = (ByteRange(2**30, 2**30 + 9), ByteRange(0, 9), ByteRange(2**20 + 20, 2**20 + 29))
    assert [read.parts for read in plan_reads(few)] == [(each,) for each in few]
    assert plan_reads(tuple(ByteRange(2**21 * n, 2**21 * n + 1) for n in range(1000))) == ()


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
    ("values", "strong", "weak"),
    [
        ([], (), ()),
        (["*"], ("*",), ("*",)),
        (['"a"'], ("a",), ("a",)),
        (['W/"a", "b,c"', '"d"'], ("W/a", "b,c", "d"), ("a", "b,c", "d")),
        (["sha256:0a, sha512:1b"], ("sha256:0a", "sha512:1b"), ("sha256:0a", "sha512:1b")),
        (['"sha256:0a",sha256:1b'], ("sha256:0a", "sha256:1b"), ("sha256:0a", "sha256:1b")),
    ],
)
def test_entity_tags_are_digests_in_quotes_or_without(
    values: list[str], strong: tuple[str, ...], weak: tuple[str, ...]
) -> None:
    assert parse_if_match(sent("If-Match", *values)) == strong
    assert parse_if_none_match(sent("If-None-Match", *values)) == weak


@pytest.mark.parametrize("value", ["a", '"a', "", '"a" "b"', "*, *", 'w/"a"', '"a",', 'sha256:0a"', "W/sha256:0a"])
def test_malformed_entity_tags_are_refused_by_reads_and_writes_alike(value: str) -> None:
    for parse, name in [
        (parse_if_match, "If-Match"),
        (parse_if_none_match, "If-None-Match"),
        (lambda headers: require_conditions(headers, "a"), "If-Match"),
        (lambda headers: require_conditions(headers, "a"), "If-None-Match"),
        (lambda headers: is_not_modified(headers, "a"), "If-Match"),
        (lambda headers: is_not_modified(headers, "a"), "If-None-Match"),
    ]:
        with pytest.raises(DomainError) as refused:
            parse(sent(name, value))
        assert (refused.value.reason, name in refused.value.message) == ("BAD_REQUEST", True)


@pytest.mark.parametrize(
    ("value", "has"),
    [('"a:1"', True), ("a:1", True), ("*", True), ('W/"x", a:1', True), ('W/"a:1"', True), ('"x"', False)],
)
def test_a_read_is_not_modified_if_the_client_has_the_digest(value: str, has: bool) -> None:
    assert is_not_modified(sent("If-None-Match", value), "a:1") is has
    assert not is_not_modified(sent("If-None-Match"), "a:1")


def test_entity_tags_are_read_in_linear_time() -> None:
    begin = time.perf_counter()
    for value in (" " * 60_000, "a" * 60_000, '"a" ' * 15_000, "a:1," * 15_000, "a:" * 30_000):
        with pytest.raises(DomainError):
            parse_if_match(sent("If-Match", value))
    assert time.perf_counter() - begin < 1


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
        return reader.read(peer, "http", "h", ForwardedHeaders(forwarded)).client_address

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

    def origin(peer: str, host: str, schemes: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> Origin:
        return reader.read(peer, "http", host, ForwardedHeaders(schemes=schemes, hosts=hosts))

    assert origin("10.0.0.1", "inside", ("https",), ("a.example, b.example:8443",)) == Origin(
        "10.0.0.1", "https", "b.example:8443"
    )
    assert origin("1.1.1.1", "[::1]:80", ("https",), ("a.example",)) == Origin("1.1.1.1", "http", "[::1]:80")
    assert origin("10.0.0.1", "inside", ("gopher",)) == Origin("10.0.0.1", "http", "inside")
    assert origin("1.1.1.1", 'a",realm="b').host == ""


@pytest.mark.parametrize(
    ("addresses", "schemes", "hosts", "expected"),
    [
        # One proxy; what stands left of its own entry is the client's.
        ("1.1.1.1", "https", "a.example", ("1.1.1.1", "https", "a.example")),
        ("9.9.9.9, 1.1.1.1", "http, https", "evil.example, a.example", ("1.1.1.1", "https", "a.example")),
        # Two and three proxies that append.
        ("1.1.1.1, 10.0.0.2", "https, http", "a.example, inner:8080", ("1.1.1.1", "https", "a.example")),
        (
            "9.9.9.9, 1.1.1.1, 10.0.0.3, 10.0.0.2",
            "gopher, https, http, http",
            "evil.example, a.example, mid:1, inner:8080",
            ("1.1.1.1", "https", "a.example"),
        ),
        # The last proxy sets one value, and does not append.
        ("1.1.1.1, 10.0.0.2", "https", "a.example", ("1.1.1.1", "https", "a.example")),
        # An entry that cannot be read ends the walk.
        ("1.1.1.1, 10.0.0.2", 'https, "', "a b, inner:8080", ("1.1.1.1", "http", "inner:8080")),
        (
            "1.1.1.1, unknown, 10.0.0.2",
            "https, http, http",
            "a.example, b.example, c.example",
            ("10.0.0.2", "http", "b.example"),
        ),
    ],
)
def test_lists_are_walked_from_the_right_as_far_as_the_trusted_chain_goes(
    addresses: str, schemes: str, hosts: str, expected: tuple[str, str, str]
) -> None:
    reader = OriginReader([ip_network("10.0.0.0/8")])
    headers = ForwardedHeaders((addresses,), (schemes,), (hosts,))
    assert reader.read("10.0.0.1", "http", "inside", headers) == Origin(*expected)
    split = ForwardedHeaders(addresses.split(","), schemes.split(","), hosts.split(","))
    assert reader.read("10.0.0.1", "http", "inside", split) == Origin(*expected)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:51034", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("203.0.113.9:_port", "203.0.113.9"),
        ("[203.0.113.9", None),
        ("203.0.113.9:", None),
        ("203.0.113.9 :80", None),
        ("203.0.113:80", None),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
    ],
)
def test_an_address_may_have_a_port_and_brackets(text: str, address: str | None) -> None:
    found = parse_address(text)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("for=1.1.1.1;proto=https;host=a.example", ("1.1.1.1", "https", "a.example")),
        ('For="[2001:db8::1]:4711" ; Proto=HTTPS ; Host="a.example:8443"', ("2001:db8::1", "https", "a.example:8443")),
        ("for=9.9.9.9;host=evil, for=1.1.1.1;proto=https;host=a.example", ("1.1.1.1", "https", "a.example")),
        (
            "for=1.1.1.1;host=a.example;proto=https, for=10.0.0.2;host=inner;proto=http",
            ("1.1.1.1", "https", "a.example"),
        ),
        ('for="1.1.1.1:80";by="a, b=\\"c";host=a.example', ("1.1.1.1", "http", "a.example")),
        # The client's part, to the left, is broken in ways that could hide what the proxy appended.
        ('for="9.9.9.9, for=1.1.1.1;host=a.example', ("1.1.1.1", "http", "a.example")),
        ('"\\, for=1.1.1.1', ("1.1.1.1", "http", "inside")),
        (",,;;=, for=1.1.1.1", ("1.1.1.1", "http", "inside")),
        # Hidden and unknown clients (RFC 7239 §6): the last address that is known.
        ("for=_secret;host=a.example, for=10.0.0.2;host=inner", ("10.0.0.2", "http", "a.example")),
        ("for=unknown;proto=https", ("10.0.0.1", "https", "inside")),
        ("nonsense", ("10.0.0.1", "http", "inside")),
        ('for="1.1.1.1', ("10.0.0.1", "http", "inside")),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(forwarded: str, expected: tuple[str, str, str]) -> None:
    reader = OriginReader([ip_network("10.0.0.0/8")])
    assert reader.read("10.0.0.1", "http", "inside", ForwardedHeaders(forwarded=[forwarded])) == Origin(*expected)
    assert reader.read("1.1.1.1", "http", "h", ForwardedHeaders(forwarded=[forwarded])) == Origin(
        "1.1.1.1", "http", "h"
    )


@pytest.mark.parametrize(
    ("form", "both", "old_alone", "new_alone"),
    [
        ("any", "1.1.1.1", "1.1.1.1", "2.2.2.2"),
        ("x-forwarded", "1.1.1.1", "1.1.1.1", "10.0.0.1"),
        ("forwarded", "2.2.2.2", "10.0.0.1", "2.2.2.2"),
    ],
)
def test_the_setting_says_which_headers_the_proxies_write(
    form: ForwardedForm, both: str, old_alone: str, new_alone: str
) -> None:
    reader = OriginReader([ip_network("10.0.0.0/8")], form)

    def client(headers: ForwardedHeaders) -> str:
        return reader.read("10.0.0.1", "http", "h", headers).client_address

    assert client(ForwardedHeaders(["1.1.1.1"], forwarded=["for=2.2.2.2"])) == both
    assert client(ForwardedHeaders(["1.1.1.1"])) == old_alone
    assert client(ForwardedHeaders(forwarded=["for=2.2.2.2"])) == new_alone


def test_a_long_forwarded_header_is_read_in_little_time() -> None:
    reader = OriginReader([ip_network("10.0.0.0/8")])
    for text in ('"' * 32_000, "," * 32_000, "for=10.0.0.2," * 2_500 + "x=1", 'a="' + "\\," * 15_000, "a=b;" * 8_000):
        began = time.thread_time()
        reader.read("10.0.0.1", "http", "h", ForwardedHeaders(forwarded=[text]))
        assert time.thread_time() - began < 0.1


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
