"""Measures rows on the registries in turn."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bench.machine.processes import cpu_seconds, difference
from bench.machine.programs import MissingError
from bench.registries.registry import Registry
from bench.results.result import Rounds, RowResult
from bench.results.sample import Measured
from bench.rows.row import Row


def measure_all(
    rows: Iterable[Row], registries: Sequence[Registry], rounds: int, note: Callable[[str], None]
) -> Iterator[RowResult]:
    """Measures each row, and yields its result. A row that needs what is not there is left out."""
    for row in rows:
        measured: Rounds = ()
        left_out = ""
        try:
            measured = measure(row, registries, rounds, note)
        except MissingError as missing:
            left_out = str(missing)
        finally:
            row.close()
        yield RowResult(row.kind, row.name, row.unit, row.work_unit, row.lower_is_better, measured, left_out)


def measure(row: Row, registries: Sequence[Registry], rounds: int, note: Callable[[str], None]) -> Rounds:
    """Prepares and measures a row. Every second round begins with the other registry.

    So other work on the machine, and what a sample leaves behind, slows both.
    """
    for registry in registries:
        note(f"{row.name}: preparing {registry.name}")
        row.prepare(registry)
    measured: list[Mapping[str, Measured]] = []
    for number in range(rounds):
        note(f"{row.name}: round {number + 1} of {rounds}")
        turn = registries if number % 2 == 0 else registries[::-1]
        measured.append({registry.name: _once(row, registry) for registry in turn})
    return measured


def _once(row: Row, registry: Registry) -> Measured:
    # Pages that the last sample left dirty are written now, not at the cost of this one.
    os.sync()
    load = os.getloadavg()[0]
    before = cpu_seconds(registry.processes())
    sample = row.run(registry)
    used = difference(before, cpu_seconds(registry.processes()))
    return Measured(sample, used, load)
