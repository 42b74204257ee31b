"""Two secrets, each a file that its owner alone reads: the key that seals rows, and the salt that hides whom they are about."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from lang1_assets.ops.audit.entries import AuditError

KEY_VARIABLE = "LANG1_AUDIT_KEY_FILE"
MIN_KEY_BYTES = 32
SALT_FILE = "salt"


def read_key(path: Path) -> bytes:
    """The key that rows are sealed with.

    Raises:
        AuditError: there is no such file, others may read it, or it is too short.
    """
    try:
        status, key = path.stat(), path.read_bytes().strip()
    except OSError as error:
        raise AuditError(f"the audit's key {path}: {error.strerror}") from error
    # As PostgreSQL takes its key: root's own file may be its group's to read, which is how Kubernetes hands secrets to a pod.
    if status.st_mode & (0o037 if status.st_uid == 0 and os.geteuid() != 0 else 0o077):
        raise AuditError(f"the audit's key {path}: others may read it; chmod 600 {path}, and take a new key")
    if len(key) < MIN_KEY_BYTES:
        raise AuditError(
            f"the audit's key {path}: {len(key)} bytes, expected {MIN_KEY_BYTES} or more; openssl rand -hex 32 > {path}"
        )
    return key


def pseudonym(folder: Path, subject_id: str) -> str:
    """What a row says in a person's place: the same for the same person in one audit, and nothing without its salt."""
    return hmac.new(_salt(folder), subject_id.encode(), "sha256").hexdigest()[:32]


def _salt(folder: Path) -> bytes:
    path = folder / SALT_FILE
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{SALT_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(secrets.token_hex(32).encode())
            handle.flush()
            os.fsync(handle.fileno())
        try:
            # Two processes may begin at once: the first name stays.
            os.link(beside, path)
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return path.read_bytes()
