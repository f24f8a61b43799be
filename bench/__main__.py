"""`python -m bench [NAME ...]`: runs the measurements of these names, or all."""

import argparse
import os
import platform
from collections.abc import Callable, Iterator, Mapping

from bench import idle, throughput

MEASUREMENTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "idle": idle.measure,
    "throughput": throughput.measure,
}


def main() -> None:
    """Reads the names, measures and prints."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)}; all by default")
    names = parser.parse_args().names or list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there is {', '.join(MEASUREMENTS)}")
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    for name in names:
        print(f"\n== {name}")
        for line in MEASUREMENTS[name]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
