"""Where the audit lies, and how its files are read from the end and written so that a crash leaves the old or the new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CHAIN_FILE = "audit.jsonl"
HEAD_FILE = "audit.head"
LOCK_FILE = "audit.lock"
ASIDE_FOLDER = "set_aside"
ATTEMPTS_FOLDER = "attempts"
BLOCK_BYTES = 1 << 14
OWNER_ONLY = 0o600


def pieces_backwards(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """What follows the last newline (nothing, in a whole file), then each line from the last to the first.

    Reads no more than is asked for; a file that is not there is an empty one.
    """
    rest = b""
    for block in _blocks_backwards(path, block_bytes):
        rest, *lines = (block + rest).split(b"\n")
        yield from reversed(lines)
    yield rest


def _blocks_backwards(path: Path, block_bytes: int) -> Iterator[bytes]:
    try:
        handle = open(path, "rb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        return
    with handle:
        end = handle.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - block_bytes)
            yield os.pread(handle.fileno(), end - start, start)
            end = start


def append_durably(path: Path, data: bytes) -> None:
    """Add to a file and wait until it is on the disk."""
    is_new = not path.exists()
    with open(path, "ab", opener=_private) as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    if is_new:
        _sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write beside and rename; on the disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "wb", opener=_private) as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    beside.rename(path)
    _sync_folder(path.parent)


def cut_durably(path: Path, num_bytes: int) -> None:
    """Take this many bytes off a file's end."""
    with open(path, "r+b") as handle:
        handle.truncate(handle.seek(0, os.SEEK_END) - num_bytes)
        os.fsync(handle.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
