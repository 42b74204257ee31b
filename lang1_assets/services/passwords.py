"""Passwords that nobody chooses: made at the first start, kept in files of their owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PASSWORD_BYTES = 32


def kept_password(path: Path) -> str:
    """The password in a file; a new one when there is none."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(PASSWORD_BYTES))
    return path.read_text().strip()


def write_private(path: Path, text: str | bytes) -> None:
    """A whole file with mode 0600, or none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.partial")
    beside.unlink(missing_ok=True)
    data = text.encode() if isinstance(text, str) else text
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    beside.rename(path)
