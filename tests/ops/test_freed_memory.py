import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes
import resource
from lang1_assets.ops.freed_memory import give_back_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 2**20

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
# Below the size from which memory is mapped by itself; every hundredth block stays, the last one too.
blocks = [libc.malloc(100_000) for _ in range(3_000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for number, block in enumerate(blocks):
    if number % 100 != 99:
        libc.free(block)
kept = resident()
give_back_freed_memory()
print(kept, resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library than glibc")
def test_what_was_freed_between_what_stays_goes_back_to_the_machine() -> None:
    """In a process of its own: 300 MB with holes."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 290
    assert after < 60
