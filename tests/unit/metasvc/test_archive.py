"""Files in archives: what tarfile writes is found in any pieces, and nothing hostile costs more than its bound."""

import gzip
import io
import os
import tarfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metasvc.domain.archive import ArchiveBounds, ArchiveError, ArchiveSearch

SMALL = ArchiveBounds(expanded_bytes=1024 * 1024, entries=100, file_bytes=64 * 1024, header_bytes=8 * 1024, members=20)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tar(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def find(data: bytes, name: str, *, size: int = 1000, bounds: ArchiveBounds = SMALL) -> bytes | None:
    search = ArchiveSearch(lambda found: found == name, bounds)
    for piece in pieces(data, size):
        search.feed(piece)
    search.finish()
    return search.content


NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters="/"), min_size=1, max_size=20)
PATHS = st.lists(NAMES, min_size=1, max_size=12).map("/".join).filter(lambda path: len(path.encode()) < 250)


@settings(max_examples=200, deadline=None)
@given(
    files=st.dictionaries(PATHS, st.binary(max_size=3000), min_size=1, max_size=6),
    form=st.sampled_from(FORMATS[1:]),
    size=st.integers(1, 4000),
    compressed=st.booleans(),
)
def test_each_file_is_found_in_whatever_pieces_it_comes(
    files: dict[str, bytes], form: int, size: int, *, compressed: bool
) -> None:
    data = tar(files, form)
    if compressed:
        data = gzip.compress(data)
    for name, content in files.items():
        assert find(data, name, size=size) == content
    assert find(data, "absent", size=size) is None


@pytest.mark.parametrize("form", FORMATS)
def test_long_names_of_each_format_are_read(form: int) -> None:
    name = "/".join(["folder" * 8] * 4)[:240] + "/README.md"
    if form == tarfile.USTAR_FORMAT:
        name = "/".join(["folder"] * 20) + "/README.md"
    assert find(tar({"other": b"x" * 600, name: b"text"}, form), name) == b"text"


def test_folders_and_links_are_no_files() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo("README.md")
            member.type, member.linkname = kind, "/etc/passwd"
            # Some programs give a link the size of what it leads to. Nothing follows it nevertheless.
            member.size = 700
            buffer.write(member.tobuf())
        member = tarfile.TarInfo("README.md")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"real"))
    assert find(buffer.getvalue(), "README.md") == b"real"


def test_nothing_is_read_behind_what_was_wanted() -> None:
    search = ArchiveSearch(lambda name: name == "first")
    search.feed(tar({"first": b"1"})[:1024])
    assert (search.content, search.is_over) == (b"1", True)
    search.feed(b"no archive at all")
    assert search.content == b"1"


def test_parts_that_are_compressed_one_by_one_are_one_archive() -> None:
    data = tar({"a": b"1" * 2000, "b": b"2"})
    parts = b"".join(gzip.compress(piece) for piece in pieces(data, 700))
    assert find(parts, "b") == b"2"
    assert find(gzip.compress(data) + bytes(512), "b") == b"2"


DAMAGED = {
    "nothing": b"",
    "one byte": b"x",
    "text": b"no archive" * 100,
    "the beginning of gzip": b"\x1f\x8b",
    "text that begins as gzip": b"\x1f\x8bno gzip" * 100,
    "a file cut off": tar({"a": b"1" * 2000})[:1500],
    "a header cut off": tar({"a": b"1" * 2000})[:700],
    "gzip cut off": gzip.compress(tar({"a": b"1" * 2000}))[:-20],
    "a file cut off, in gzip": gzip.compress(tar({"a": b"1" * 2000})[:1500]),
    "text in gzip": gzip.compress(b"no archive" * 100),
    "another compression": zlib.compress(tar({"a": b"1"})),
}


@pytest.mark.parametrize("size", [1, 511, 512, 100_000])
@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_no_archive_is_refused(damage: str, size: int) -> None:
    damaged = DAMAGED[damage]
    with pytest.raises(ArchiveError):
        find(damaged, "README.md", size=size)


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=3000), compressed=st.booleans())
def test_noise_is_refused_and_never_a_fault(data: bytes, *, compressed: bool) -> None:
    whole = tar({"README.md": b"text" * 300})
    mixed = bytearray(whole)
    for position, byte in enumerate(data):
        mixed[(position * 7) % len(mixed)] ^= byte
    for each in (data, bytes(mixed)):
        try:
            find(gzip.compress(each) if compressed else each, "README.md")
        except ArchiveError:
            continue


def claiming(**fields: object) -> bytes:
    """A tar header that claims something."""
    member = tarfile.TarInfo("README.md")
    for name, value in fields.items():
        setattr(member, name, value)
    return member.tobuf(tarfile.GNU_FORMAT)


# Made when they are used: some of them take a second.
BOMBS: Mapping[str, Callable[[], bytes]] = {
    "zeros": lambda: gzip.compress(claiming(name="other", size=2**40) + bytes(200 * 1024 * 1024)),
    "a file that claims to be huge": lambda: claiming(size=2**40),
    "a long name that claims to be huge": lambda: claiming(type=tarfile.GNUTYPE_LONGNAME, size=2**40),
    "an extended header that claims to be huge": lambda: claiming(type=tarfile.XHDTYPE, size=2**40),
    "a size beyond all bounds": lambda: claiming(size=2**62),
    "many entries": lambda: gzip.compress(claiming(name="other") * 200_000),
    "many parts": lambda: gzip.compress(b"") * 200_000,
    "many headers before a file": lambda: gzip.compress(tar({"a" * 200: b""}, tarfile.GNU_FORMAT)[:1536] * 100_000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_costs_little_memory_and_time(bomb: str) -> None:
    data = BOMBS[bomb]()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(ArchiveError):
            find(data, "README.md", size=1024 * 1024, bounds=ArchiveBounds())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
    assert time.process_time() - began < 10


def test_a_file_at_the_bound_is_read_and_one_beyond_is_refused() -> None:
    content = os.urandom(SMALL.file_bytes)
    assert find(tar({"README.md": content}), "README.md") == content
    with pytest.raises(ArchiveError, match="more than 65536 bytes"):
        find(tar({"README.md": content + b"x"}), "README.md")
    # What nobody asks for may be larger.
    assert find(tar({"other": content + b"x", "README.md": b"1"}), "README.md") == b"1"
    with pytest.raises(ArchiveError, match="expanded"):
        find(tar({"other": bytes(SMALL.expanded_bytes)}), "README.md")
    with pytest.raises(ArchiveError, match="entries"):
        find(tar({f"f{number}": b"" for number in range(SMALL.entries + 1)}), "README.md")


@pytest.mark.parametrize("records", [b"x", b"9999999 path=x\n", b"0 path=x\n", b"-9 path=x\n", b"20 path=x\n"])
def test_wrong_records_of_an_extended_header_are_damage(records: bytes) -> None:
    header = claiming(type=tarfile.XHDTYPE, size=len(records))
    with pytest.raises(ArchiveError):
        find(header + records.ljust(512, b"\0") + tar({"README.md": b"1"}), "absent")
