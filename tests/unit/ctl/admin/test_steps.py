"""A command that fails half-way says what is done, so that nobody repeats it. Against a server that answers in part."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from ctl.admin.api import Api
from ctl.admin.steps import done_so_far
from ctl.admin.target import Target
from ctl.errors import CommandError


class _Forgetful(http.server.BaseHTTPRequestHandler):
    """Does what it is asked, and cannot show it."""

    def do_POST(self) -> None:
        self._answer(201, ("Location", "/api/v2.0/things/1"))

    def do_PUT(self) -> None:
        self._answer(200)

    def do_GET(self) -> None:
        self._answer(503, ("Retry-After", "3"))

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def _answer(self, status: int, *headers: tuple[str, str]) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        for header in (*headers, ("Content-Length", "0")):
            self.send_header(*header)
        self.end_headers()


@pytest.fixture
def api() -> Iterator[Api]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Forgetful) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with Api(Target(url, url, "alice", "Secret-Passw0rd", "look at the file")) as opened:
            yield opened
        server.shutdown()
        thread.join()


def test_what_was_created_and_cannot_be_shown_is_not_a_failed_create(api: Api) -> None:
    with pytest.raises(CommandError, match=r"^it is created, but cannot be shown: .* \(503\); something is away"):
        api.create("/api/v2.0/things", {})


def test_what_was_changed_and_cannot_be_shown_is_not_a_failed_change(api: Api) -> None:
    api.call("PUT", "/api/v2.0/things/1", {})
    with pytest.raises(CommandError, match=r"^it is changed, but cannot be shown: .* \(503\); something is away"):
        api.changed("/api/v2.0/things/1")


def test_the_exit_status_of_a_later_step_stays() -> None:
    with pytest.raises(CommandError) as failed, done_so_far("the first is done", "roadstead admin second"):
        raise CommandError("no terminal", 2)
    assert failed.value.status == 2
    assert str(failed.value) == "the first is done: no terminal. `roadstead admin second` does the rest"
