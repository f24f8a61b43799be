"""docs/cli.md shows the commands as they are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_it_lists_every_command_with_its_arguments() -> None:
    command = [sys.executable, "-m", "scripts.write_cli_reference", "--check"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
