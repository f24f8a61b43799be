"""The examples of a page: its fenced blocks, run unchanged and in order, and compared with the output that it shows."""

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

TOUR_SECONDS = 120

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVED_AS = re.compile(r"Save this as\s`([\w.]+)`")
_END = "---- the end of a block ----"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: "sh", "python", or "text" for what is printed.
        text: with its last line break.
        saved_as: the file that it is to be saved as; empty for what is run.
    """

    language: str
    text: str
    saved_as: str = ""


@dataclass(frozen=True)
class Step:
    """A block that is run, and its output in the page."""

    block: Block
    shown: str = ""


def read_blocks(markdown: str) -> list[Block]:
    blocks = []
    end_of_last = 0
    for match in _BLOCK.finditer(markdown):
        saved_as = _SAVED_AS.search(markdown, end_of_last, match.start())
        end_of_last = match.end()
        blocks.append(Block(match["language"], match["text"], saved_as[1] if saved_as else ""))
    return blocks


def read_steps(blocks: Iterable[Block]) -> list[Step]:
    following = [*blocks, Block("", "")]
    return [
        Step(block, after.text if after.language == "text" else "")
        for block, after in pairwise(following)
        if block.language != "text"
    ]


def is_as_shown(printed: str, shown: str, *, last_lines: bool = False) -> bool:
    """Whether the output matches the page, where `…` stands for any text; with `last_lines`, whether its end does."""
    pattern = "[^\n]*".join(map(re.escape, shown.rstrip("\n").split("…")))
    start = r"(?:.*\n)?" if last_lines else ""
    return re.fullmatch(f"{start}{pattern}\n*", printed, re.DOTALL) is not None


def run_in_one_shell(steps: list[Step], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Runs the blocks in one shell, in order; returns the output of each. Stops at the first failure."""
    script = ["set -eo pipefail"]
    for step in steps:
        block = step.block
        saving = f"cat > {block.saved_as} <<'{_END}'\n{block.text}{_END}\n"
        script += [saving if block.saved_as else block.text, f"echo '{_END}'"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TOUR_SECONDS,
        check=False,
    )
    printed = done.stdout.split(f"{_END}\n")
    assert done.returncode == 0, f"in block {len(printed)} of the page:\n{done.stdout}\n{done.stderr}"
    return printed[:-1]
