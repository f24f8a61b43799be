"""A call that is cancelled at the wrong moment leaves no memory behind."""

import subprocess
import sys

import pytest

# In a process of its own, whose memory nothing else uses. The server has threads of its own, so that it goes on while
# the event loop of the client stands still.
PROGRAM = """
import asyncio, concurrent.futures, ctypes, sys, time
import grpc
from svckit.rpc import open_channel
from tests.unit.svckit.rpc.contract import guarded_pb2

MEBIBYTE = 1024 * 1024
libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    sys.exit(3)

class Mallinfo(ctypes.Structure):
    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]

libc.mallinfo2.restype = Mallinfo

def used():
    info = libc.mallinfo2()
    return info.field_4 + info.field_7  # hblkhd: mapped blocks; uordblks: blocks in the heap

def answer(request, context):
    time.sleep(0.03)
    return b"x" * MEBIBYTE

def answers(request, context):
    yield b"x"
    time.sleep(0.03)
    for _ in range(4):
        yield b"x" * MEBIBYTE

async def cancel_when_all_has_come(reading):
    task = asyncio.ensure_future(reading)
    await asyncio.sleep(0.02)
    time.sleep(0.1)  # the answer comes, and the event loop does not know it yet
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

async def main(kind):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    handlers = {
        "Public": grpc.unary_unary_rpc_method_handler(answer),
        "Watch": grpc.unary_stream_rpc_method_handler(answers),
    }
    service = "roadstead.guarded.v1.Guarded"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = open_channel(f"127.0.0.1:{port}")
    single = channel.unary_unary(f"/{service}/Public")
    stream = channel.unary_stream(f"/{service}/Watch")

    async def read_single():
        await single(b"")

    async def read_stream():
        async for _ in stream(b""):
            pass

    read = read_single if kind == "single" else read_stream
    await read()
    for _ in range(5):
        await cancel_when_all_has_come(read())
    before = used()
    for _ in range(20):
        await cancel_when_all_has_come(read())
    await asyncio.sleep(0.2)
    print((used() - before) // MEBIBYTE)
    await channel.close()
    server.stop(None).wait()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", ["single", "stream"])
def test_an_answer_that_came_while_its_call_was_cancelled_is_freed(kind: str) -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=False)
    if result.returncode == 3:
        return  # another C library than glibc: it does not tell what is in use
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 5
