"""A disk that is really full: a small file system in memory, which can be made larger."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True)
class SmallDisk:
    """A file system of its own."""

    folder: Path

    def resize(self, num_bytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={num_bytes}", self.folder], check=True, capture_output=True)

    def fill(self) -> Path:
        """Leave no byte; the file that takes them."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for block in (2**20, 2**12):
                with suppress(OSError):
                    while file.write(bytes(block)) == block:
                        pass
        assert shutil.disk_usage(self.folder).free == 0
        return ballast


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={2**20}", "lang1-test", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no `mount` here to make a small disk with")
    if done.returncode != 0:
        pytest.skip(f"this user may not mount a small disk ({done.stderr.strip()})")
    try:
        yield SmallDisk(folder=folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
