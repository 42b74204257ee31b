"""Memory that was freed and that the allocator keeps."""

from __future__ import annotations

import ctypes


def give_back_freed_memory() -> None:
    """To the machine; nothing where the C library has no such call.

    Scoring notes of ever other lengths leaves glibc's arenas, one a thread, full of holes: half a gigabyte more for every four
    thousand notes of a model of a million weights, which a process that evaluates one model after another never gets rid of.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
