import subprocess
import sys

# In a process of its own: what the allocator is told cannot be taken back.
PROGRAM = """
import ctypes, sys
from svckit.allocator import reuse_large_blocks
if not reuse_large_blocks():
    sys.exit(3)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def faults():
    fields = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
    return int(fields[7])

def use(times):
    for _ in range(times):
        block = libc.malloc(1 << 20)
        ctypes.memset(block, 1, 1 << 20)
        libc.free(block)

use(4)
before = faults()
use(50)
# Given back each time, 50 blocks of 256 pages would be cleared anew 12,800 times.
print(faults() - before)
"""


def test_a_large_block_is_used_again_without_a_page_fault() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if result.returncode == 3:
        return  # another allocator than glibc's, which is left as it is
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 1000
