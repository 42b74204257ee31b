"""A clock that jumps for services alone: what they load in front of the C library adds a number of seconds to the time of day."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
FARTHEST = 2 * 24 * 3600
"""Seconds from the true time."""


def is_possible() -> bool:
    return shutil.which("cc") is not None


def make_clock(folder: Path) -> Mapping[str, str]:
    """Build it and set it to the true time; the environment of those who are to go by it."""
    library, offset = folder / "clock.so", offset_file(folder)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    set_clock(folder, 0)
    for path in (library, offset):
        path.chmod(0o755)
    return {"LD_PRELOAD": str(library), "LANG1_TEST_CLOCK": str(offset)}


def offset_file(folder: Path) -> Path:
    return folder / "clock.offset"


def set_clock(folder: Path, seconds: int) -> None:
    """In place: those who run already have the file open."""
    path = offset_file(folder)
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("q", seconds))


def jump(folder: Path, rng: random.Random) -> int:
    """To a time at most two days before or after the true one; the seconds between them."""
    seconds = rng.randint(-FARTHEST, FARTHEST)
    set_clock(folder, seconds)
    return seconds
