from itertools import pairwise

import pytest

from blobsvc.domain.blob import checked_range
from blobsvc.domain.generation import Generation, GenerationClock
from blobsvc.domain.model import BlobKey, UploadId
from blobsvc.domain.upload import FinishedUpload
from svckit.errors import DomainError
from svckit.oci.digest import SHA512, Digest


def test_generations_grow_while_the_clock_stands_still_or_goes_back() -> None:
    times = iter([5_000_000, 5_000_000, 1_000, 5_000_000, 9_000_000_000])
    clock = GenerationClock(lambda: next(times))
    given = [clock.next() for _ in range(5)]
    assert given == sorted(set(given))


def test_generations_sort_as_text_as_they_do_as_numbers() -> None:
    generations = [Generation(number) for number in (1, 9, 10, 2**62, 2**63 - 1)]
    assert sorted(map(str, generations)) == [str(generation) for generation in generations]
    assert [Generation.parse(str(generation)) for generation in generations] == generations


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "-000000000000000001",
        "+000000000000000001",
        "\u0660" * 18 + "\u0661",
        "0" * 19,
        "9" * 19,
        "0" * 20,
        "../x",
    ],
)
def test_what_is_no_generation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="generation"):
        Generation.parse(text)


@pytest.mark.parametrize(
    "text", ["", "x" * 32, "A" * 32, "0" * 31, "0" * 33, "../" + "0" * 29, "0" * 31 + "\n", "0" * 31 + "/"]
)
def test_what_is_no_upload_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="upload id"):
        UploadId(text)


def test_upload_ids_are_never_the_same() -> None:
    assert len({UploadId.new() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("size", "offset", "limit", "expected"),
    [
        (0, 0, 0, range(0)),
        (10, 0, 0, range(10)),
        (10, 9, 0, range(9, 10)),
        (10, 3, 4, range(3, 7)),
        (10, 3, 99, range(3, 10)),
    ],
)
def test_a_range_is_cut_to_the_blob(size: int, offset: int, limit: int, expected: range) -> None:
    assert checked_range(size, offset, limit) == expected


@pytest.mark.parametrize(("size", "offset", "limit"), [(0, 1, 0), (10, 10, 0), (10, -1, 0), (10, 0, -1)])
def test_a_range_outside_is_refused(size: int, offset: int, limit: int) -> None:
    with pytest.raises(DomainError) as error:
        checked_range(size, offset, limit)
    assert error.value.reason == "RANGE_INVALID"
    assert error.value.metadata["size"] == str(size)


def test_keys_sort_by_algorithm_digits_and_generation() -> None:
    low, high = sorted([Digest.of(b"a"), Digest.of(b"b")])
    keys = [
        BlobKey(low, Generation(1)),
        BlobKey(low, Generation(2)),
        BlobKey(high, Generation(1)),
        BlobKey(Digest.of(b"a", SHA512), Generation(1)),
    ]
    assert all(lower < upper for lower, upper in pairwise(keys))


def test_a_receipt_does_not_show() -> None:
    assert "secret" not in repr(FinishedUpload(receipt="secret", size_bytes=3))
