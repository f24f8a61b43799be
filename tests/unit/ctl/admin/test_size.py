"""Sizes as people write and read them."""

from argparse import ArgumentTypeError

import pytest

from ctl.admin.size import parse_size, shown_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1048576),
        ("0", 0),
        ("10GiB", 10 * 1024**3),
        ("10gib", 10 * 1024**3),
        ("10G", 10 * 1024**3),
        ("10GB", 10**10),
        ("500MB", 500_000_000),
        ("3KiB", 3072),
        ("2TiB", 2 * 1024**4),
        ("7B", 7),
        ("unlimited", -1),
        ("-1", -1),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-2", "1.5GiB", "GiB", "1 GiB", "10PiB", "1iB", "\u0661GiB", "9" * 17])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (-1, "unlimited"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024**3, "10 GiB"),
        (1024**5, "1024 TiB"),
    ],
)
def test_a_size_is_shown(size: int | None, text: str) -> None:
    assert shown_size(size) == text
