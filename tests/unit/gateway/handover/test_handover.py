"""Uploads whose bytes go from the socket into the file: nothing is lost, read twice, or held on to."""

import asyncio
import errno
import fcntl
import os
import random
import ssl
from pathlib import Path

import httpx
import pytest

from tests.harness.certificates import Authority
from tests.unit.gateway.conftest import REPOSITORY, House, MakeHouse, digest_of
from tests.unit.gateway.handover.moving import CONTENT, MIB, USUAL, Moves, Upload, chunks, is_same


async def test_a_body_with_a_length_goes_into_the_file_and_the_next_request_is_read_after_it(
    house: House, moves: Moves
) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT + USUAL * 2)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > len(CONTENT) // 2


@pytest.mark.parametrize("size", [1_000, 32 * 1024, 99_991, MIB, 7 * MIB + 1, None])
async def test_chunks_of_any_size_go_into_the_file(house: House, moves: Moves, size: int | None) -> None:
    source = random.Random(size)
    upload = await Upload.begin(house)
    await upload.send(upload.head("Transfer-Encoding: chunked"))
    for chunk in chunks(CONTENT, lambda: size or source.choice([1, 2, 500, 70_000, 3 * MIB])):
        line, _, rest = chunk.partition(b"\r\n")
        # As clients write that do not join the pieces.
        for piece in (line + b"\r\n", rest[:-2], b"\r\n") if len(rest) > MIB else (chunk,):
            await upload.send(piece)
    await upload.send(b"0\r\n\r\n" + USUAL)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > MIB


async def test_many_bodies_at_once_and_one_after_the_other_over_one_connection(house: House, moves: Moves) -> None:
    async def push(number: int) -> None:
        upload = await Upload.begin(house)
        content = CONTENT[number:]
        middle = len(content) // 2 + number
        for part, start in ((content[:middle], 0), (content[middle:], middle)):
            headers = f"Content-Range: {start}-{start + len(part) - 1}", f"Content-Length: {len(part)}"
            await upload.send(upload.head(*headers) + part)
            assert await upload.answer() == b"HTTP/1.1 202 Accepted"
        closed = await house.http.put(f"{upload.location}&digest={digest_of(content)}", headers=house.bearer())
        assert closed.status_code == 201
        assert is_same(house.blobsvc.blobs[digest_of(content)], content)
        upload.writer.close()
        await upload.writer.wait_closed()

    await asyncio.gather(*(push(number) for number in range(5)))
    assert moves.total > 50 * MIB
    assert {each.fileno() for each in moves.sockets} == {-1}


@pytest.mark.parametrize("unusual", [b"5;name=value\r\nhello\r\n", b"5 \r\nhello\r\n", b"000000005\r\nhello\r\n"])
async def test_an_unusual_chunk_is_read_by_the_server_and_the_body_goes_on(
    house: House, moves: Moves, unusual: bytes
) -> None:
    upload = await Upload.begin(house)
    await upload.send(upload.head("Transfer-Encoding: chunked"))
    usual = b"".join(chunks(CONTENT, lambda: MIB))
    await upload.send(usual + unusual + usual + b"0\r\nX-Trailer: y\r\n\r\n" + USUAL)
    assert [await upload.answer() for _ in range(2)] == [b"HTTP/1.1 202 Accepted", b"HTTP/1.1 200 OK"]
    assert is_same(upload.file.read_bytes(), CONTENT + b"hello" + CONTENT)
    assert moves.total > MIB


async def test_a_file_system_that_takes_nothing_from_a_pipe_is_written_to(
    house: House, moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    splice = os.splice

    def refuse(source: int, target: int, count: int, **named: int) -> int:
        if "offset_dst" in named:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return splice(source, target, count, **named)

    monkeypatch.setattr(os, "splice", refuse)
    upload = await Upload.begin(house)
    await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT)
    assert await upload.answer() == b"HTTP/1.1 202 Accepted"
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > MIB


@pytest.mark.parametrize("http2", [False, True])
async def test_over_tls_the_bytes_come_through_the_server(
    make_house: MakeHouse, moves: Moves, tmp_path: Path, http2: bool
) -> None:
    issued = Authority(tmp_path / "authority").issue()
    house = await make_house(placement="file", tls_certificate_file=issued.certificate, tls_key_file=issued.key)
    trusted = ssl.create_default_context(cafile=str(tmp_path / "authority" / "ca.pem"))
    async with httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{house.port}", verify=trusted, trust_env=False, timeout=60, http2=http2
    ) as client:
        begun = await client.post(f"/v2/{REPOSITORY}/blobs/uploads/", headers=house.bearer())
        answer = await client.patch(begun.headers["Location"], content=CONTENT, headers=house.bearer())
    assert (answer.status_code, answer.http_version) == (202, "HTTP/2" if http2 else "HTTP/1.1")
    assert is_same(house.blobsvc.staged[-1].read_bytes(), CONTENT)
    assert moves.bytes == []


async def test_where_pipes_must_stay_small_bytes_are_moved_all_the_same(
    house: House, moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, command: int, *rest: int) -> int:
        assert command == fcntl.F_SETPIPE_SZ
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    upload = await Upload.begin(house)
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    await upload.send(upload.head(f"Content-Length: {len(CONTENT)}") + CONTENT)
    assert await upload.answer() == b"HTTP/1.1 202 Accepted"
    assert is_same(upload.file.read_bytes(), CONTENT)
    assert moves.total > MIB
