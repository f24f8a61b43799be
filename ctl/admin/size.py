"""Sizes of storage, as people write them."""

import re
from argparse import ArgumentTypeError

UNLIMITED = -1

_SIZE = re.compile(r"([0-9]{1,16})(?:([KMGT])(i)?B?|B)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def parse_size(text: str) -> int:
    """The bytes of "10GiB", "500MB", "1048576"; -1 for "unlimited".

    Raises:
        ArgumentTypeError: if it is none of them.
    """
    if text in {"unlimited", "-1"}:
        return UNLIMITED
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a size such as 10GiB, 500MB or 1048576, nor `unlimited`")
    number, unit, binary = match.groups()
    # GiB is 1024³ and GB is 1000³. A single G is what Harbor and docker take it for, 1024³.
    is_decimal = bool(unit) and not binary and text.lower().endswith("b")
    base = 1000 if is_decimal else 1024
    power = _POWERS[(unit or "").lower()]
    return int(number) * int(base**power)


def shown_size(value: int | None) -> str:
    """Bytes, to three digits or so: "1.5 GiB"; "unlimited" for -1."""
    if value is None:
        return "-"
    if value == UNLIMITED:
        return "unlimited"
    size = float(value)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" or size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("the last unit returns")
