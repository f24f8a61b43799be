"""The examples in docs/api.md and docs/changes.md, run as they stand there, against a new installation."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.installation import Installation, running_installation
from tests.harness.tour import is_as_shown, read_blocks, read_steps, run_in_one_shell

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """With a short path: a unix socket is in it."""
    folder = Path(tempfile.mkdtemp(prefix="api"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def installation(home: Path) -> Iterator[Installation]:
    with running_installation(home / "roadstead") as running:
        yield running


@pytest.mark.parametrize(("name", "shown"), [("api.md", 5), ("changes.md", 1)])
def test_the_examples_print_what_the_page_shows(
    installation: Installation, home: Path, tmp_path: Path, name: str, shown: int
) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for port, service in ((9401, "authsvc"), (9402, "metasvc")):
        page = page.replace(f"127.0.0.1:{port}", f"127.0.0.1:{installation.grpc_ports[service]}")
    steps = read_steps(read_blocks(page.replace("127.0.0.1:8080", installation.host)))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "XDG_DATA_HOME": str(home), "no_proxy": "127.0.0.1"}

    printed = run_in_one_shell(steps, tmp_path, variables)

    assert sum(bool(step.shown) for step in steps) >= shown
    for step, text in zip(steps, printed, strict=True):
        assert not step.shown or is_as_shown(text, step.shown), f"{step.block.text}\nprinted:\n{text}"
