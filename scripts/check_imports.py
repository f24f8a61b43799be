"""Checks all imports against `[tool.importlinter]` in pyproject.toml, for the services of svckit/services.py.

import-linter needs the name of every package. This script takes the names from the table of services, so that the rules
hold for a new service without another line.

python scripts/check_imports.py
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from svckit.services import TABLE

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "build" / "importlinter.toml"
_EACH = "{service}"
_ROOMS = "{rooms}"
_ALL = "{any_service}"


def rules(packages: list[str]) -> str:
    """The configuration of import-linter, for these packages: the gateway first."""
    written = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contracts = written.pop("contracts")
    lines = ["[tool.importlinter]", *_settings(written, packages)]
    for contract in contracts:
        lines += ["", "[[tool.importlinter.contracts]]", *_settings(contract, packages)]
    return "\n".join(lines) + "\n"


def _settings(table: dict[str, Any], packages: list[str]) -> Iterator[str]:
    for name, value in table.items():
        expanded = [item for each in value for item in _expanded(each, packages)] if isinstance(value, list) else value
        # Texts, truth values and lists of texts are the same in TOML as in JSON.
        yield f"{name} = {json.dumps(expanded)}"


def _expanded(text: str, packages: list[str]) -> list[str]:
    if text == _ALL:
        return [" | ".join(packages)]
    if _EACH in text:
        return [text.replace(_EACH, package) for package in packages[1:]]
    if _ROOMS in text:
        return [text.replace(_ROOMS, _rooms(package)) for package in packages[1:]]
    return [text]


def _rooms(package: str) -> str:
    return f"{package}.engine" if (ROOT / package / "engine").is_dir() else package


def main() -> int:
    """Writes the configuration and runs import-linter on it. Returns its exit code."""
    # Planned services too: their packages may be there before anything starts them.
    packages = sorted({row.package for row in TABLE if (ROOT / row.package).is_dir()} - {"gateway"})
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(rules(["gateway", *packages]), encoding="utf-8")
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([program, "--no-logo", "--config", FILE], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
