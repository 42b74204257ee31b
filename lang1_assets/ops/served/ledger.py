"""Answers that were paid for, so that a run that was cut off asks for none of them again.

One file, one line of JSON an answer, added at the end and synced to disk before it counts. A line holds the hash of the
request, what was read from the answer (log-probabilities of letters, or letters) and the tokens it took: no note text,
and none of what the model wrote.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

from lang1_assets.ops.served.errors import LedgerError

OWNER_ONLY = 0o600


class Ledger:
    """Open for one process at a time; its threads share it.

    A last line that was torn off by a crash never counted and is removed. What is asked and paid for in the moment of a
    crash, at most one request a thread, is the only thing that can be lost.

    Raises:
        LedgerError: another process has it open, or a line in the middle is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, OWNER_ONLY)
        try:
            self._reserve()
            self._answers = self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> dict[str, Any] | None:
        return self._answers.get(key)

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """On disk when this returns.

        Raises:
            LedgerError: it cannot be written, as on a full disk; the other answers stay whole.
        """
        line = json.dumps({"key": key, "answer": answer}, separators=(",", ":")) + "\n"
        with self._lock:
            if key in self._answers:
                raise LedgerError(f"{self.path}: the answer {key[:12]} was paid for twice; two questions share a key")
            self._append(line.encode())
            self._answers[key] = answer
        # Not under the lock: threads then wait for the disk together, not one after another.
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from None

    def _append(self, line: bytes) -> None:
        """All of it or nothing: the next line would be glued to a half one. Under the lock."""
        length = os.fstat(self._file).st_size
        try:
            _write_all(self._file, line)
        except OSError as error:
            os.ftruncate(self._file, length)
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"{self.path}: cannot be written ({error.strerror}); make room on its disk and run it again, what was paid for until "
            "then is kept"
        )

    def _reserve(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(f"{self.path}: another process is scoring with this ledger; wait for it") from None
        os.fchmod(self._file, OWNER_ONLY)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> dict[str, dict[str, Any]]:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        answers: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            key, answer = self._entry(number, line)
            if key in answers:
                raise LedgerError(f"{self.path}: line {number} repeats an answer; remove the line")
            answers[key] = answer
        return answers

    def _entry(self, number: int, line: bytes) -> tuple[str, dict[str, Any]]:
        try:
            entry = json.loads(line)
            key, answer = entry["key"], entry["answer"]
        except (ValueError, KeyError, TypeError):
            key = answer = None
        if not isinstance(key, str) or not isinstance(answer, dict):
            raise LedgerError(f"{self.path}: line {number} is damaged; remove it, and its answer is asked for again")
        return key, answer


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
