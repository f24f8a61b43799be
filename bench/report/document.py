"""The report as JSON: every sample, and what is computed from them."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.registries import distribution, roadstead
from bench.registries.roadstead import Setup
from bench.results.ratios import median_cpu, median_value
from bench.results.result import RowResult
from bench.sizes import Sizes

_ROOT = Path(__file__).parents[2]


def machine() -> dict[str, Any]:
    """Where it was measured, and what."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "commit": _commit(),
    }


def document(results: Sequence[RowResult], setup: Setup, sizes: Sizes) -> dict[str, Any]:
    """Everything, for programs. Units are in the names, or beside the values."""
    return {
        "machine": machine(),
        # Values of settings may be secrets.
        "setup": {"server": setup.server, "workers": setup.workers, "variables": sorted(setup.variables)},
        "sizes": asdict(sizes),
        "rows": [_row(result) for result in results],
    }


def _row(result: RowResult) -> Mapping[str, Any]:
    ratio = result.ratio(roadstead.NAME, distribution.NAME)
    return {
        "kind": result.kind,
        "name": result.name,
        "unit": result.unit,
        "work_unit": result.work_unit,
        "lower_is_better": result.lower_is_better,
        "left_out": result.left_out,
        "ratio": None if ratio is None else asdict(ratio),
        "median": {
            name: {"value": median_value(measured), "cpu_seconds_per_work": median_cpu(measured)}
            for name in (roadstead.NAME, distribution.NAME)
            if (measured := result.of(name))
        },
        "rounds": [{name: asdict(measured) for name, measured in one.items()} for one in result.rounds],
    }


def _commit() -> str:
    """The commit that was measured, with "-dirty" for changes that are not committed; empty without git."""
    try:
        named = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return named.stdout.strip()
