"""Adds a service, and a noun to a service, in a copy of the tree; counts the files, and runs the copy.

A service is a row in the table, its package with its contracts, and its section of settings. If other code lists the
services by hand, the toy service is missing there, and a test here fails.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.harness import plain_http
from tests.harness.installation import Installation, running_installation

ROOT = Path(__file__).parents[2]
TOY = ROOT / "tests" / "toy"
MOST_FILES_OF_A_NOUN = 10

ROW = """\
    Service(
        name="toysvc",
        contracts="roadstead.toy.v1",
        is_rest=True,
        socket="toy.sock",
        port_offset=4,
    ),
"""
# The lines that the noun adds to existing files: the file, the text before which they go, and the lines.
ADDED = {
    ("authsvc/server.py", "    server.add(add_RobotServiceServicer_to_server, RobotServicer(ports))"): """\
    server.add(add_NoticeServiceServicer_to_server, NoticeServicer(ports))
""",
    ("authsvc/server.py", "from authsvc.servicers.project import"): """\
from authsvc.servicers.notice import NoticeServicer
""",
    ("authsvc/server.py", "from roadstead.auth.v1.project_metadata_service_pb2_grpc import"): """\
from roadstead.auth.v1.notice_service_pb2_grpc import add_NoticeServiceServicer_to_server
""",
    ("authsvc/store/unit_of_work.py", "    @property\n    def users(self) -> SqlUsers:"): """\
    @property
    def notices(self) -> SqlNotices:
        \"""Notices.\"""
        return SqlNotices(self._conn)

""",
    ("authsvc/store/unit_of_work.py", "from authsvc.store.project import"): """\
from authsvc.store.notice import SqlNotices
""",
    ("authsvc/domain/rows.py", "    @property\n    def users(self) -> UserRows:"): """\
    @property
    def notices(self) -> NoticeRows:
        \"""Notices.\"""

""",
    ("authsvc/domain/rows.py", "class Unit(Protocol):"): """\
class NoticeRows(Protocol):
    \"""The rows of notices.\"""

    async def add(self, text: str, now: datetime) -> Notice:
        \"""Adds a notice.\"""

    async def get(self, notice_id: int) -> Notice | None:
        \"""Reads a notice.\"""


""",
    ("authsvc/domain/rows.py", "Project\n    from authsvc.domain.permission"): "Notice, ",
    ("authsvc/domain/model.py", "@dataclass(frozen=True, slots=True)\nclass Member(Versioned):"): """\
@dataclass(frozen=True, slots=True)
class Notice:
    \"""What the administrators tell everybody.

    Attributes:
        id: of the notice.
        text: what it says.
    \"""

    id: int
    text: str


""",
}
# Calls both over gRPC, with the stubs of the copy.
CLIENT = """
import json, sys
import grpc
from roadstead.auth.v1 import notice_service_pb2, notice_service_pb2_grpc
from roadstead.toy.v1 import fortune_service_pb2, fortune_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

authsvc, toysvc, notice_id = sys.argv[1:]
with grpc.insecure_channel(toysvc) as channel:
    serving = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10).status
    stub = fortune_service_pb2_grpc.FortuneServiceStub(channel)
    fortune = stub.GetFortune(fortune_service_pb2.GetFortuneRequest(id=2), timeout=10).fortune.text
with grpc.insecure_channel(authsvc) as channel:
    stub = notice_service_pb2_grpc.NoticeServiceStub(channel)
    notice = stub.GetNotice(notice_service_pb2.GetNoticeRequest(id=int(notice_id)), timeout=10).notice.text
print(json.dumps({"serving": serving, "fortune": fortune, "notice": notice}))
"""

Tree = dict[str, str]


@dataclass(frozen=True)
class Copy:
    """A copy of the tree.

    Attributes:
        root: its folder.
        of_the_service: the files that the toy service has changed or added, generated stubs aside.
        of_the_noun: likewise, of the noun.
    """

    root: Path
    of_the_service: set[str]
    of_the_noun: set[str]

    @property
    def environment(self) -> dict[str, str]:
        """Makes Python import everything from the copy, not from the installed tree."""
        return {"PYTHONPATH": f"{self.root}{os.pathsep}{self.root / 'protos' / 'gen'}"}

    def run(self, *command: str | Path) -> str:
        """Runs one of our programs in the copy, and returns its output."""
        return _run(self.root, *command)


def _run(root: Path, *command: str | Path) -> str:
    path = f"{root}{os.pathsep}{root / 'protos' / 'gen'}"
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _tree(root: Path) -> Tree:
    """The hashes of all files that are written by hand."""
    files = (path for path in root.rglob("*") if path.is_file())
    names = {path.relative_to(root).as_posix(): path for path in files}
    ours = {
        name: path
        for name, path in names.items()
        if not name.startswith(("protos/gen/", "protos/third_party/", "build/", "tests/")) and "__pycache__" not in name
    }
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in ours.items()}


def _changed(before: Tree, after: Tree) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _insert(root: Path, name: str, anchor: str, text: str) -> None:
    path = root / name
    content = path.read_text(encoding="utf-8")
    assert content.count(anchor) == 1, f"{name} has changed; say in {Path(__file__).name} where its lines go: {anchor}"
    path.write_text(content.replace(anchor, text + anchor), encoding="utf-8")


def _add_service(root: Path) -> None:
    shutil.copytree(TOY / "service", root, dirs_exist_ok=True)
    _insert(root, "svckit/services.py", '    Service(\n        name="metasvc",\n', ROW)


def _add_noun(root: Path) -> None:
    shutil.copytree(TOY / "noun", root, dirs_exist_ok=True)
    for (name, anchor), text in ADDED.items():
        _insert(root, name, anchor, text)
    versions = root / "authsvc" / "store" / "migrations" / "versions"
    newest = max(path.name[:4] for path in versions.glob("0*.py"))
    following = f"{int(newest) + 1:04}"
    script = versions / "NEXT_notices.py"
    text = script.read_text(encoding="utf-8").replace("NEXT", following).replace("NEWEST", newest)
    script.rename(versions / f"{following}_notices.py").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The tree as git has it, with the toys added, and stubs and settings regenerated."""
    root = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # skips files that are deleted but not committed
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    bare = _tree(root)
    _add_service(root)
    _run(root, "protos/generate.py", "--third-party")
    _run(root, "protos/generate.py")
    _run(root, "scripts/annotate_settings.py")
    with_service = _tree(root)
    _add_noun(root)
    _run(root, "protos/generate.py")
    _run(root, "scripts/annotate_settings.py")
    return Copy(root, _changed(bare, with_service), _changed(with_service, _tree(root)))


@pytest.fixture(scope="module")
def running(copy: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The copy, started by its own `roadstead up`."""
    data_dir = tmp_path_factory.mktemp("toys") / "data"
    with running_installation(data_dir, environment=copy.environment) as installation:
        yield installation


def test_a_service_is_one_row_its_package_and_its_section_of_settings(copy: Copy) -> None:
    own = {name for name in copy.of_the_service if name.startswith(("toysvc/", "protos/roadstead/toy/"))}

    assert own
    assert copy.of_the_service - own == {"svckit/services.py", "deploy/roadstead.toml"}
    assert "[toysvc]" in (copy.root / "deploy" / "roadstead.toml").read_text(encoding="utf-8")


def test_a_noun_is_ten_files_at_the_most(copy: Copy) -> None:
    assert len(copy.of_the_noun) <= MOST_FILES_OF_A_NOUN, sorted(copy.of_the_noun)


def test_the_toys_are_written_as_everything_here_is(copy: Copy) -> None:
    written = sorted(name for name in copy.of_the_service | copy.of_the_noun if name.endswith(".py"))

    copy.run("-m", "ruff", "check", *written)
    copy.run("-m", "ruff", "format", "--check", *written)


def test_the_import_rules_hold_the_toy_service_as_well(copy: Copy) -> None:
    copy.run("scripts/check_imports.py")
    rules = (copy.root / "build" / "importlinter.toml").read_text(encoding="utf-8")
    assert '"toysvc.domain"' in rules


def test_every_part_of_an_installation_knows_the_toy_service(copy: Copy, running: Installation) -> None:
    assert "toysvc" in running.pids()
    assert any(line.startswith("grpc toysvc ") for line in running.output)
    components = plain_http.get(f"{running.http_url}/api/v2.0/health").json()["components"]
    assert {"name": "toysvc", "status": "healthy"} in components
    assert "toysvc: serving" in plain_http.get(f"{running.http_url}/readyz").text.splitlines()
    keys = copy.run("-m", "ctl", "admin", "keys", "--data-dir", running.data_dir)
    assert "toysvc" in [line.split()[0] for line in keys.splitlines()]
    assert "toysvc" in copy.run("-m", "ctl", "serve", "--help")


def test_the_toys_answer_over_rest_and_grpc(copy: Copy, running: Installation) -> None:
    with httpx.Client(base_url=f"{running.http_url}/api/v2.0", trust_env=False, timeout=30) as http:
        assert http.get("/fortunes/1").json() == {"id": 1, "text": "Ships are safe in the roadstead."}
        assert http.get("/fortunes/3").status_code == 404
        assert http.post("/notices", json={"text": "hello"}).status_code == 401
        admin = ("admin", running.admin_password)
        assert http.post("/notices", json={"text": ""}, auth=admin).status_code == 400
        made = http.post("/notices", json={"text": "hello"}, auth=admin)
        assert made.status_code == 201, made.text
        notice = http.get(made.headers["Location"].removeprefix("/api/v2.0")).json()
        assert notice["text"] == "hello"
        assert {"/fortunes/{id}", "/notices"} <= {
            path.removeprefix("/api/v2.0") for path in http.get("/openapi.json").json()["paths"]
        }

    addresses = dict(line.split()[1:] for line in running.output if line.startswith("grpc "))
    told = copy.run("-c", CLIENT, addresses["authsvc"], addresses["toysvc"], str(notice["id"]))
    assert json.loads(told) == {"serving": 1, "fortune": "A full hold sails slowly.", "notice": "hello"}
