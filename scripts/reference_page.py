"""A page whose last part is written by a program."""

import sys
from pathlib import Path

MARK = "<!-- The rest of this page is written by `make reference` from the code. -->\n"


def write_or_check(page: Path, reference: str) -> int:
    """Writes the part after the mark; with `--check` as the program's argument, compares it. Returns the exit code."""
    written = page.read_text(encoding="utf-8")
    kept, mark, _ = written.partition(MARK)
    if not mark:
        print(f"{page} lacks the line {MARK}", file=sys.stderr)
        return 1
    wanted = f"{kept}{mark}{reference}"
    if sys.argv[1:] == ["--check"]:
        if written != wanted:
            print(f"{page} does not match the code; run `make reference`", file=sys.stderr)
        return int(written != wanted)
    page.write_text(wanted, encoding="utf-8")
    return 0
