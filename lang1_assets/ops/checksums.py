"""Checksums of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

READING_THREADS = 4
"""Hashing lets go of the interpreter's lock, and one thread reads about 1 GB a second."""


def sha256_of(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
