"""`python -m bench [KIND ...]`: measures the rows of these kinds, or all.

Variables ROADSTEAD_… are settings of the Roadstead that is measured:

    ROADSTEAD_GATEWAY_LIMITS__REQUESTS=200 python -m bench manifest --server granian --json results/granian.json
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench import client
from bench.machine.programs import MissingError, find
from bench.registries.distribution import PROGRAM, distribution
from bench.registries.registry import Registry
from bench.registries.roadstead import Setup, roadstead
from bench.report.document import document, machine
from bench.report.tables import tables
from bench.results.result import RowResult
from bench.rounds import measure_all
from bench.rows.table import KINDS, rows
from bench.sizes import FULL, QUICK, Sizes


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        kinds: of the rows.
        setup: how Roadstead is started.
        sizes: how much is measured.
        json_file: where the JSON goes; None for nowhere.
        is_alone: whether the peer is left out.
    """

    kinds: Sequence[str]
    setup: Setup
    sizes: Sizes
    json_file: Path | None
    is_alone: bool


def main() -> int:
    """Reads the options, measures and prints. Returns the exit code."""
    options = _options(sys.argv[1:])
    about = machine()
    print(f"{about['platform']}, Python {about['python']}, {about['cores']} cores; commit {about['commit']}")
    print(f"{options.setup.server}, {options.setup.workers} gateway(s), {options.sizes.rounds} round(s)\n", flush=True)
    try:
        _measure(options)
    except MissingError as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


def _measure(options: Options) -> None:
    find(client.PROGRAM)
    if not options.is_alone:
        find(PROGRAM)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roadstead-bench-")))
        ours = stack.enter_context(roadstead(folder / "roadstead", options.setup))
        registries: list[Registry] = [ours]
        if not options.is_alone:
            registries.append(stack.enter_context(distribution(folder / "distribution", ours.tokens)))
        chosen = rows(options.kinds, options.setup, options.sizes)
        results = list(measure_all(chosen, registries, options.sizes.rounds, _note))
        # Before the folder is removed, which may take minutes: distribution keeps each tag in eight files and folders.
        _report(results, options)


def _report(results: Sequence[RowResult], options: Options) -> None:
    for line in tables(results, options.setup.server):
        print(line, flush=True)
    if options.json_file is not None:
        options.json_file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document(results, options.setup, options.sizes), indent=1)
        options.json_file.write_text(f"{text}\n")


def _note(text: str) -> None:
    """Says how far it is, apart from the report."""
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of rows: {', '.join(KINDS)}; all by default")
    parser.add_argument("--server", choices=("hypercorn", "granian"), default="hypercorn", help="what serves HTTP")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes of the gateway")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"by default {FULL.rounds}")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round, to see that it works")
    parser.add_argument("--alone", action="store_true", help="measure Roadstead only, without distribution")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample into this file as well")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.kinds) - set(KINDS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there is {', '.join(KINDS)}")
    sizes = QUICK if given.quick else FULL
    return Options(
        kinds=given.kinds or KINDS,
        setup=Setup(
            given.server,
            given.workers,
            {name: value for name, value in os.environ.items() if name.startswith("ROADSTEAD_")},
        ),
        sizes=sizes if given.rounds is None else replace(sizes, rounds=given.rounds),
        json_file=given.json,
        is_alone=given.alone,
    )


if __name__ == "__main__":
    sys.exit(main())
