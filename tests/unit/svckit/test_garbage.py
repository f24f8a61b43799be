import subprocess
import sys

# In a process of its own: what is left out of garbage collections stays out.
PROGRAM = """
import asyncio, gc, weakref
from svckit.allocator import keep_what_the_start_made, return_free_memory

class Knot:
    def __init__(self):
        self.itself = self

keep_what_the_start_made()
assert len(gc.get_objects()) < gc.get_freeze_count()
gc.disable()
knot = weakref.ref(Knot())
assert knot() is not None
asyncio.run(return_free_memory())
assert knot() is None
"""


def test_reference_cycles_are_freed_with_the_memory_and_what_the_start_made_is_not_looked_at() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
