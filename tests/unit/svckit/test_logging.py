import enum
import io
import json
import logging as stdlib
from collections.abc import Iterator
from typing import Any

import pytest

from svckit import logging
from svckit.logging import configure, get_logger, request_context, trace_of

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyOjcifQ.c2lnbmF0dXJl"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True, params=["alone", "beside another handler"])
def restored(request: pytest.FixtureRequest) -> Iterator[None]:
    """Our lines take another way if somebody else has added a handler, as pytest does. The answers are the same."""
    root = stdlib.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers[:] = [] if request.param == "alone" else [stdlib.NullHandler()]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure("metasvc", "debug", "json", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_that_says_who_when_and_what(stream: io.StringIO) -> None:
    get_logger("metasvc.domain.tag").info("tag_moved", tag="1.0", count=3)
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "tag_moved",
        "level": "info",
        "logger": "metasvc.domain.tag",
        "service": "metasvc",
        "tag": "1.0",
        "count": 3,
    }


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_795_707_999_000_001_999, "2026-11-26T15:46:39.000001Z"),
        (1_795_707_999_999_999_999, "2026-11-26T15:46:39.999999Z"),
    ],
)
def test_the_time_is_utc_in_microseconds(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, nanoseconds: int, shown: str
) -> None:
    monkeypatch.setattr("svckit.logging.time.time_ns", lambda: nanoseconds)
    get_logger("a").info("event")
    assert lines(stream)[0]["timestamp"] == shown


def test_what_libraries_log_comes_out_the_same_way(stream: io.StringIO) -> None:
    stdlib.getLogger("sqlalchemy.pool").warning("pool of %d is full", 5)
    [line] = lines(stream)
    assert (line["event"], line["level"], line["logger"], line["service"]) == (
        "pool of 5 is full",
        "warning",
        "sqlalchemy.pool",
        "metasvc",
    )


def test_the_ids_of_a_request_stand_in_each_of_its_lines_and_in_no_other(stream: io.StringIO) -> None:
    log = get_logger("a")
    with request_context("r-1", "t-1"):
        log.info("inside")
        stdlib.getLogger("b").info("inside")
        with request_context("r-2"):
            log.info("deeper")
    log.info("outside")
    assert [(line.get("request_id"), line.get("trace_id")) for line in lines(stream)] == [
        ("r-1", "t-1"),
        ("r-1", "t-1"),
        ("r-2", None),
        (None, None),
    ]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "new_password",
        "Authorization",
        "authorization",
        "x-roadstead-service-token",
        "token",
        "access_token",
        "client_secret",
        "ticket",
        "upload_ticket",
        "receipt",
        "grant",
        "cookie",
        "set-cookie",
        "credentials",
        "private_key",
    ],
)
def test_what_a_secret_is_called_hides_it(stream: io.StringIO, key: str) -> None:
    get_logger("a").info("event", **{key: "s3cr3t", "nested": {"deep": [{key: b"s3cr3t"}]}})
    assert "s3cr3t" not in stream.getvalue()
    assert lines(stream)[0][key] == "[redacted]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (JWT, "[redacted]"),
        (f"bad header {JWT}, sorry", "bad header [redacted], sorry"),
        (f"/v2/p/r/blobs/uploads/1?_state={JWT}&x=1", "/v2/p/r/blobs/uploads/1?_state=[redacted]&x=1"),
        ("Basic YWRtaW46SGFyYm9y", "Basic [redacted]"),
        ("basic YWRtaW46SGFyYm9y", "basic [redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("postgresql://road:s3cr3t@db/meta", "postgresql://road:[redacted]@db/meta"),
        ("GET /c?token=s3cr3t&a=1", "GET /c?token=[redacted]&a=1"),
        ("sha256:" + "a" * 64, "sha256:" + "a" * 64),
        ("basic auth is off", "basic auth is off"),
        ("authorization: Basic YTpi", "authorization: Basic [redacted]"),
        ("(b'authorization', b'Basic YTpi')", "(b'authorization', b'Basic [redacted]')"),
        ('Bearer realm="https://a/service/token"', 'Bearer realm="https://a/service/token"'),
        ("http://127.0.0.1:8080/v2/", "http://127.0.0.1:8080/v2/"),
        ("user@example.org", "user@example.org"),
    ],
)
def test_what_a_secret_looks_like_hides_it_wherever_it_stands(stream: io.StringIO, text: str, shown: str) -> None:
    get_logger("a").info(text, value=text, nested=[text, {"k": (text,)}])
    stdlib.getLogger("b").info("%s", text)
    first, second = lines(stream)
    assert (first["event"], first["value"], first["nested"]) == (shown, shown, [shown, {"k": [shown]}])
    assert second["event"] == shown


def test_a_traceback_is_kept_without_its_secrets(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError(f"cannot read {JWT}")

    try:
        fail()
    except ValueError:
        get_logger("a").exception("failed")
        stdlib.getLogger("b").exception("failed")
    assert JWT not in stream.getvalue()
    for line in lines(stream):
        assert "ValueError: cannot read [redacted]" in line["exception"]
        assert "in fail" in line["exception"]


def test_the_repr_of_an_object_is_looked_into(stream: io.StringIO) -> None:
    class Holder:
        def __repr__(self) -> str:
            return f"Holder({JWT})"

    get_logger("a").info("event", holder=Holder(), raw=JWT.encode())
    assert JWT not in stream.getvalue()


def test_what_cannot_be_a_secret_stays(stream: io.StringIO) -> None:
    get_logger("a").info("event", tokens_total=5, grants=["pull"], token=None, grant=True, tokenizer="x", secret=3)
    [line] = lines(stream)
    assert (line["tokens_total"], line["grants"], line["token"], line["grant"]) == (5, ["pull"], None, True)
    assert line["tokenizer"] == "x"


def test_a_structure_that_contains_itself_ends(stream: io.StringIO) -> None:
    loop: dict[str, Any] = {"password": "s3cr3t"}
    loop["self"] = loop
    get_logger("a").info("event", loop=loop)
    assert len(lines(stream)) == 1
    assert "s3cr3t" not in stream.getvalue()


class Count(int):
    pass


class Kind(enum.StrEnum):
    BLOB = "blob"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**70, 2**70),
        (Count(3), 3),
        (1.5, 1.5),
        (Kind.BLOB, "blob"),
        (b"\xff", "b'\\xff'"),
        ({1: {2}}, {"1": [2]}),
        ("\ud800", "\ud800"),
        ("é\u2028\u0085ü", "é\u2028\u0085ü"),
        ("\n\r\x1b", "\n\r\x1b"),
        (None, None),
    ],
)
def test_a_line_is_one_line_of_ascii_whatever_its_values_are(stream: io.StringIO, value: object, shown: object) -> None:
    get_logger("a").info("event", value=value)
    text = stream.getvalue()
    assert text.isascii()
    assert text[:-1].isprintable()
    [line] = lines(stream)
    assert line["value"] == shown


def test_what_json_cannot_say_is_written_anyway(stream: io.StringIO) -> None:
    get_logger("a").info("event", value=float("nan"))
    assert len(stream.getvalue().splitlines()) == 1


def test_arguments_are_put_into_the_text(stream: io.StringIO) -> None:
    get_logger("a").warning("pool of %d is full", 5)
    assert lines(stream)[0]["event"] == "pool of 5 is full"


def test_a_handler_of_somebody_else_gets_our_lines_too(stream: io.StringIO) -> None:
    records: list[stdlib.LogRecord] = []

    class Other(stdlib.Handler):
        def emit(self, record: stdlib.LogRecord) -> None:
            records.append(record)

    stdlib.getLogger().addHandler(Other())
    get_logger("a").info("event", count=1)
    assert [record.name for record in records] == ["a"]
    assert [line["count"] for line in lines(stream)] == [1]


def test_the_level_counts_for_both_kinds_of_logger() -> None:
    stream = io.StringIO()
    configure("metasvc", "warning", "json", stream)
    for log in (get_logger("a"), stdlib.getLogger("b")):
        log.info("quiet")
        log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud", "loud"]


def test_configuring_again_takes_the_place_of_what_was() -> None:
    first, second = io.StringIO(), io.StringIO()
    log = get_logger("a")
    configure("one", "info", "json", first)
    log.info("event")
    configure("two", "info", "json", second)
    log.info("event")
    assert [line["service"] for line in lines(first)] == ["one"]
    assert [line["service"] for line in lines(second)] == ["two"]


def test_auto_is_for_people_on_a_terminal_and_json_elsewhere() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    configure("metasvc", "info", "auto", terminal)
    get_logger("a").info("event", password="s3cr3t")
    configure("metasvc", "info", "auto", pipe)
    get_logger("a").info("event", password="s3cr3t")
    assert not terminal.getvalue().startswith("{")
    assert "event" in terminal.getvalue()
    assert "s3cr3t" not in terminal.getvalue() + pipe.getvalue()
    assert lines(pipe)[0]["event"] == "event"


def test_console_without_a_terminal_has_no_colours() -> None:
    stream = io.StringIO()
    configure("metasvc", "info", "console", stream)
    get_logger("a").info("event", a=1)
    assert "\x1b" not in stream.getvalue()


def test_ids_are_none_outside_of_a_request() -> None:
    assert logging.request_id.get() is None
    assert logging.trace_id.get() is None


@pytest.mark.parametrize("name", ["aiosqlite", "hpack", "httpx"])
def test_libraries_that_show_parameters_and_headers_are_quiet_even_when_debugging(
    stream: io.StringIO, name: str
) -> None:
    stdlib.getLogger(name).debug("INSERT INTO user (password_hash) VALUES (%r)", "x")
    stdlib.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines(stream)] == ["trouble"]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_trace_id_is_read_from_a_traceparent(flags: str) -> None:
    assert trace_of(f"00-{'a' * 32}-{'b' * 16}-{flags}") == "a" * 32
    # A later version may say more; what is known of it counts (section 3.2.4).
    assert trace_of(f"01-{'a' * 32}-{'b' * 16}-{flags}-more") == "a" * 32


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"00-{'a' * 32}-{'b' * 16}",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01\n",
    ],
)
def test_a_malformed_traceparent_has_no_trace(traceparent: str) -> None:
    assert trace_of(traceparent) is None


REPEATED = logging.RepeatedLine("gateway.app", "request", ("path", "status", "milliseconds", "client"))


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize(
    "values",
    [
        ("/v2/a/manifests/v1", 200, 1.5, "10.0.0.1"),
        ("/v2/ä/\u2028{}", 404, 0.1, None),
        ("/x?token=" + JWT, 404, 0.1, ""),
        ("Basic dXNlcjpwYXNzd29yZDEyMw==", 404, 0.1, ""),
        ('/},{"level":"error"},{', 404, 0.1, ""),
        ("/\udcff", 404, 0.1, ""),
        ("/", 2**70, 0.1, True),
    ],
    ids=["plain", "not ascii", "a token", "credentials", "braces", "no text", "a large number"],
)
def test_a_repeated_line_is_that_of_a_logger(
    monkeypatch: pytest.MonkeyPatch, format: logging.Format, values: tuple[Any, ...]
) -> None:
    monkeypatch.setattr("svckit.logging.time.time_ns", lambda: 1_795_707_999_000_001_999)
    texts = []
    for log in (
        REPEATED.log,
        lambda *values: get_logger("gateway.app").info(
            "request", **dict(zip(("path", "status", "milliseconds", "client"), values, strict=True))
        ),
    ):
        stream = io.StringIO()
        configure("gateway", "info", format, stream)
        with request_context("r" * 32, "4bf92f3577b34da6a3ce929d0e0e4736"):
            log(*values)
        log(*values)
        texts.append(stream.getvalue())

    assert texts[0] == texts[1]
    assert texts[0].count("\n") == 2
    assert JWT not in texts[0]
    assert "dXNlcjpwYXNzd29yZDEyMw" not in texts[0]


def test_a_repeated_line_obeys_the_level() -> None:
    stream = io.StringIO()
    configure("gateway", "warning", "json", stream)
    REPEATED.log("/", 200, 1.0, "")
    assert stream.getvalue() == ""


def test_repeated_lines_that_are_rendered_together_are_those_that_are_rendered_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread renders them later: each has its own time, and the ids of the request that has logged it."""
    records: list[Any] = []
    render: list[Any] = []

    stream = io.StringIO()
    configure("gateway", "info", "json", stream)
    stdlib.getLogger().handlers[:] = [handler for handler in stdlib.getLogger().handlers if handler is logging._handler]
    put = logging._InPlace.put_later

    def put_later(writer: Any, rendering: Any, record: object, size_bytes: int) -> None:
        records.append(record)
        render.append(rendering)
        put(writer, rendering, record, size_bytes)

    monkeypatch.setattr(logging._InPlace, "put_later", put_later)
    for number, path in enumerate(["/a", "/b", "/secret?password=hunter2", "/ü", "/{"]):
        with request_context(f"request-{number}", f"{number:032x}" if number % 2 else None):
            REPEATED.log(path, 200 + number, 0.5, "10.0.0.1")
    alone = stream.getvalue()

    for some in (records, records[:2], records[3:]):
        assert render[0](some).decode() in alone
    assert render[0](records).decode() == alone
    assert "hunter2" not in alone
    assert [line.get("request_id") for line in lines(stream)] == [f"request-{number}" for number in range(5)]
