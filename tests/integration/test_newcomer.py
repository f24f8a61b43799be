"""Follows the README as a person who has just cloned the repository: with a new HOME and no virtual environment.

The blocks are run unchanged and in order, and their output is compared with the README, where `…` stands for any text.
Two things are different from a new machine. pip uses the cache and the settings of this machine, so that nothing is
downloaded twice. If a port of the README is taken, another one replaces it, in the blocks and in the expected output.
The test uses the last commit, not the working tree.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pytest

from tests.harness.ports import free_port, free_ports_in_a_row
from tests.harness.programs import program
from tests.harness.tour import Step, is_as_shown, read_blocks, read_steps, run_in_one_shell

pytestmark = [pytest.mark.slow, pytest.mark.clients]

ROOT = Path(__file__).parents[2]
README_PORTS = (8080, 9401, 9402, 9403)
LONGEST_PYTHON_LINES = 10

# Installing takes a minute, and longer if packages are downloaded.
START_SECONDS = 900
STOP_SECONDS = 60

_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Variables of the person who runs the tests: settings of ours, of make and of pytest, and folders in their HOME.
_NOT_A_NEWCOMERS = re.compile(
    r"ROADSTEAD_.*|XDG_.*|MAKE.*|MFLAGS|VENV|UP_ARGS|VIRTUAL_ENV|PYTHON(?:PATH|HOME)|PYTEST.*|DOCKER_CONFIG|REGISTRY_AUTH_FILE"
)


class Terminal:
    """The terminal where `make run` runs until it is interrupted."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._lines: list[str] = []
        self._settled = threading.Event()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                # A session, as each terminal has one, for Ctrl-C, which works there although the tests themselves may
                # have been started in the background; and it must not outlive them.
                ["env", "--default-signal=INT", "setpriv", "--pdeathsig=TERM", "--", "bash", "-c", command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    @property
    def printed(self) -> str:
        return "".join(self._lines)

    def everything(self) -> str:
        return f"{self.printed}\n{self._log.read_text()[-8000:]}"

    def wait_until_ready(self) -> None:
        assert self._settled.wait(START_SECONDS), f"make run is not ready:\n{self.everything()}"
        assert self._process.poll() is None, f"make run has ended:\n{self.everything()}"

    def interrupt(self) -> None:
        """Ctrl-C. Returns when everything has ended."""
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self.end()

    def end(self) -> None:
        """Ends everything that still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.append(line)
            if line.startswith("ready "):
                self._settled.set()
        self._settled.set()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer") / "roadstead"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """A newcomer's variables: with crane and curl on PATH, and nothing of this checkout's virtual environment."""
    home = clone.parent / "home"
    home.mkdir()
    ours = Path(sys.prefix)
    path = [str(Path(program(name)).parent) for name in ("crane", "curl")]
    path += [entry for entry in os.environ["PATH"].split(os.pathsep) if not Path(entry).is_relative_to(ours)]
    variables = {name: value for name, value in os.environ.items() if not _NOT_A_NEWCOMERS.fullmatch(name)}
    variables |= {"HOME": str(home), "PATH": os.pathsep.join(path)}
    variables.setdefault("no_proxy", "127.0.0.1")
    variables.setdefault("PIP_CACHE_DIR", str(_base("XDG_CACHE_HOME", ".cache") / "pip"))
    pip_settings = _base("XDG_CONFIG_HOME", ".config") / "pip" / "pip.conf"
    if pip_settings.exists():
        variables.setdefault("PIP_CONFIG_FILE", str(pip_settings))
    return variables


def _base(variable: str, folder: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / folder)


@pytest.fixture
def ports() -> Mapping[str, str]:
    """The replacements of the README's addresses; empty if its ports are free."""
    if all(map(_is_free, README_PORTS)):
        return {}
    first = free_ports_in_a_row(4)
    replacements = (free_port(), first, first + 1, first + 2)
    return {f"127.0.0.1:{old}": f"127.0.0.1:{new}" for old, new in zip(README_PORTS, replacements, strict=True)}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


@pytest.fixture
def steps(clone: Path, ports: Mapping[str, str]) -> list[Step]:
    """The blocks of the README that are run."""
    markdown = (clone / "README.md").read_text()
    for old, new in ports.items():
        markdown = markdown.replace(old, new)
    return read_steps(read_blocks(markdown))


def test_the_tour_does_what_the_readme_says(
    clone: Path, environment: dict[str, str], ports: Mapping[str, str], steps: list[Step]
) -> None:
    start, *tour = steps
    assert start.block.text.strip() == "make run"
    assert not (clone / ".venv").exists()
    variables = dict(environment)
    if ports:
        _, grpc, *_ = (address.rpartition(":")[2] for address in ports.values())
        variables["UP_ARGS"] = f"--http {next(iter(ports.values()))} --grpc-port {grpc}"

    terminal = Terminal(start.block.text, clone, variables, clone.parent / "make-run.log")
    try:
        terminal.wait_until_ready()
        assert is_as_shown(terminal.printed, start.shown, last_lines=True), terminal.everything()

        printed = run_in_one_shell(tour, clone, environment)
        for step, text in zip(tour, printed, strict=True):
            assert not step.shown or is_as_shown(text, step.shown), f"{step.block.text}\nprinted:\n{text}"
        _check_meaning(clone, tour, printed)

        terminal.interrupt()
    finally:
        terminal.end()
    _check_end(clone, Path(environment["HOME"]), terminal, steps)


def _check_meaning(clone: Path, tour: list[Step], printed: list[str]) -> None:
    """Checks what patterns cannot: that all digests are equal, and that both lists are the same."""
    digests = _DIGEST.findall("".join(printed))
    (pulled,) = json.loads((clone / "tour" / "pulled" / "index.json").read_bytes())["manifests"]
    assert len(digests) >= 2
    assert {*digests, pulled["digest"]} == {digests[0]}

    (program_,) = (step.block for step in tour if step.block.language == "python")
    assert len(program_.text.splitlines()) <= LONGEST_PYTHON_LINES
    (over_rest,) = (json.loads(text) for text in printed if text.startswith("["))
    over_grpc = printed[-1].splitlines()
    assert over_grpc == [f"{row['id']} {row['name']} {row['artifact_count']}" for row in over_rest]
    assert "library/hello" in printed[-1]


def _check_end(clone: Path, home: Path, terminal: Terminal, steps: list[Step]) -> None:
    assert "killed" not in terminal.everything(), terminal.everything()
    assert not (home / ".local" / "share" / "roadstead" / "run").is_symlink()
    (port,) = re.findall(r"^ready http://127\.0\.0\.1:(\d+)$", steps[0].shown, re.MULTILINE)
    assert _is_free(int(port))
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True, timeout=60
    )
    assert status.stdout == "", "the tour leaves what git does not ignore"


@pytest.mark.parametrize("target", ["run", "test", "tools", "bench", "help"])
def test_the_targets_that_the_readme_names_are_there(clone: Path, environment: dict[str, str], target: str) -> None:
    named = subprocess.run(
        ["make", "--dry-run", target],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert named.returncode == 0, named.stderr
    assert named.stdout


def test_every_link_of_the_documents_leads_to_a_file(clone: Path) -> None:
    documents = [*clone.glob("*.md"), *clone.glob("docs/**/*.md")]

    broken = [
        f"{document.relative_to(clone)}: {target}"
        for document in documents
        for target in _LINK.findall(document.read_text())
        if not (document.parent / target).exists()
    ]

    assert len(documents) > 5
    assert broken == []


def test_the_readme_counts_harbors_operations_as_the_table_does(clone: Path) -> None:
    rows = re.findall(
        r"^\| \w+ \| [A-Z]+ \| `/.*\| ([a-z ]+) \|$", (clone / "docs" / "harbor-api.md").read_text(), re.MULTILINE
    )
    served = sum(row != "not yet" for row in rows)

    assert f"| {served} of the [{len(rows)} operations" in (clone / "README.md").read_text()


@pytest.mark.parametrize(
    ("printed", "shown", "last_lines", "fits"),
    [
        ("a 12\nb\n", "a …\nb\n", False, True),
        ("a 12\nb\nc\n", "a …\nb\n", False, False),
        ("a 12\n34\nb\n", "a …\nb\n", False, False),
        ("before\na 12\nb\n", "a …\nb\n", True, True),
        ("before a 12\nb\n", "a …\nb\n", True, False),
        ("before\na 12\nb\nafter\n", "a …\nb\n", True, False),
    ],
)
def test_what_is_shown_has_to_be_printed(printed: str, shown: str, last_lines: bool, fits: bool) -> None:
    assert is_as_shown(printed, shown, last_lines=last_lines) is fits
