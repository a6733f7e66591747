"""What a process keeps of the memory that its threads have freed."""

from __future__ import annotations

import subprocess
import sys

# Four threads at once, each with memory of its own; then the C library is asked how many heaps of
# freed memory there are.
_HEAPS = """
import ctypes, os, sys, threading
from mpcseg.memory import share_freed_memory

if sys.argv[1] == "share":
    share_freed_memory()
c = ctypes.CDLL(None)
c.malloc.argtypes, c.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
c.fdopen.argtypes, c.fdopen.restype = [ctypes.c_int, ctypes.c_char_p], ctypes.c_void_p
c.malloc_info.argtypes, c.fflush.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
together = threading.Barrier(4)

def take():
    together.wait()
    c.malloc(5000)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = c.fdopen(os.dup(1), b"w")
c.malloc_info(0, out)
c.fflush(out)
"""


def n_heaps(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _HEAPS, how], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.count("<heap nr=")


def test_threads_share_one_heap_of_freed_memory() -> None:
    assert n_heaps("share") == 1
    assert n_heaps("as usual") > 1, "the test above would prove nothing"
