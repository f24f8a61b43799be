"""Two Markdown tables: speeds with their ratios, and CPU time."""

import statistics
from collections.abc import Iterator, Sequence

from bench.aims import aim
from bench.registries import distribution, roadstead
from bench.results.ratios import median_client_cpu, median_cpu, median_parts, median_value
from bench.results.result import RowResult

_OURS, _THEIRS = roadstead.NAME, distribution.NAME
_NONE = "-"


def tables(results: Sequence[RowResult], server: str) -> Iterator[str]:
    """The lines of the report."""
    yield from _speeds(results, server)
    yield ""
    yield from _cpu_times(results)
    yield ""
    yield _load(results)
    for result in results:
        if result.left_out:
            yield f"\nLeft out: {result.name}: {result.left_out}"


def _speeds(results: Sequence[RowResult], server: str) -> Iterator[str]:
    yield "Medians of the rounds. Ratios above 1: Roadstead is better."
    yield ""
    yield "| Row | Unit | Roadstead | distribution | Ratio | Rounds | Aim |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        if result.left_out:
            continue
        ratio = result.ratio(_OURS, _THEIRS)
        median, spread = (
            (f"{ratio.median:.2f}", f"{ratio.lowest:.2f} to {ratio.highest:.2f}") if ratio else (_NONE, _NONE)
        )
        cells = (
            result.name,
            result.unit,
            _value(result, _OURS),
            _value(result, _THEIRS),
            median,
            spread,
            aim(result.name, server) or _NONE,
        )
        yield f"| {' | '.join(cells)} |"


def _cpu_times(results: Sequence[RowResult]) -> Iterator[str]:
    yield "Milliseconds of CPU time for each unit of work, user and system; for memory, MiB of each process."
    yield ""
    yield "| Row | For each | Roadstead | of which | distribution | client |"
    yield "|---|---|---|---|---|---|"
    for result in results:
        ours, theirs = result.of(_OURS), result.of(_THEIRS)
        parts = median_parts(ours)
        if parts:
            yield f"| {result.name} | MiB | {sum(parts.values()):.0f} | {_listed(parts, 1)} | {_NONE} | {_NONE} |"
        if not ours or not result.work_unit:
            continue
        mine = median_cpu(ours)
        client = median_client_cpu(ours)
        cells = (
            result.name,
            result.work_unit,
            _milliseconds(sum(mine.values())),
            _listed(mine, 1000),
            _milliseconds(sum(median_cpu(theirs).values())) if theirs else _NONE,
            _NONE if client is None else _milliseconds(client),
        )
        yield f"| {' | '.join(cells)} |"


def _load(results: Sequence[RowResult]) -> str:
    loads = [measured.load_before for result in results for one in result.rounds for measured in one.values()]
    if not loads:
        return "Nothing was measured."
    return (
        f"Load average before the samples: {statistics.median(loads):.1f}, from {min(loads):.1f} to {max(loads):.1f}. "
        "The bench itself makes some; where there was other work, look at the CPU time."
    )


def _value(result: RowResult, registry: str) -> str:
    measured = result.of(registry)
    return _number(median_value(measured)) if measured else _NONE


def _listed(parts: dict[str, float], factor: float) -> str:
    """The parts that count, largest first."""
    shown = sorted(((part * factor, name) for name, part in parts.items()), reverse=True)
    least = 0.01 * sum(part for part, _ in shown)
    return ", ".join(f"{name} {_number(part)}" for part, name in shown if part > least) or _NONE


def _milliseconds(seconds: float) -> str:
    return _number(seconds * 1000)


def _number(value: float) -> str:
    """Three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
