"""The chain's file: appended to under a lock, never rewritten, and read from its end alone.

Beside it lies a record of the last row (the head). What a killed process left half written, rows that were cut off and lines
that are no rows become rows of their own; the chain goes on after them, and `verification` finds the place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from lang1_assets.ops.audit.entries import (
    BEFORE_THE_FIRST,
    AuditError,
    Entry,
    Link,
    Row,
    from_line,
    link_of,
    link_rows,
    os_user,
    row_hash,
    to_line,
)
from lang1_assets.ops.audit.files import (
    ASIDE_FOLDER,
    CHAIN_FILE,
    HEAD_FILE,
    LOCK_FILE,
    append_durably,
    cut_durably,
    pieces_backwards,
    write_durably,
)
from lang1_assets.ops.audit.keys import KEY_VARIABLE

NOT_RECORDED_YET = ".new"


@contextmanager
def open_chain(folder: Path, key: bytes | None = None) -> Iterator[Chain]:
    """The chain in a folder, which is made, and locked against every other process until the block ends.

    Args:
        key: rows are sealed with it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(folder / LOCK_FILE, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield Chain(folder, key)


class Chain:
    """The chain while its lock is held."""

    def __init__(self, folder: Path, key: bytes | None) -> None:
        self.folder = folder
        self.path = folder / CHAIN_FILE
        self._key = key

    def append(self, entries: Sequence[Entry]) -> list[Row]:
        """Write entries after the last row, and before them what was found wrong at the end of the file.

        Returns:
            The entries' rows, on the disk.

        Raises:
            AuditError: the file ends in something else than a row and there is no head to go on from; or its rows are sealed
                and there is no key.
            OSError: it could not be written; what was written of it is set aside by the next append.
        """
        self._refuse_without_key()
        self._set_half_line_aside()
        tail, head = self.tail(), self.head()
        last = tail
        notices = self._half_lines_set_aside()
        if head is not None and not _leads_to(head, tail):
            last = head
            notices.append(_rows_missing(head, tail))
        if last is None:
            raise AuditError(
                f"{self.path}: its last line is no row of an audit, and there is no {HEAD_FILE} beside it to go on from; "
                "keep the file elsewhere for inquiry and begin a new one"
            )
        rows = link_rows([*notices, *entries], last, datetime.now(UTC), self._key)
        if rows:
            append_durably(self.path, b"".join(map(to_line, rows)))
            self._write_head(rows[-1])
            self._mark_recorded()
        return rows[len(notices) :]

    def tail(self) -> Link | None:
        """The last complete line's place; None where that is not a row whose hash is right."""
        line = next((piece for piece in self._lines_backwards()), None)
        if line is None:
            return BEFORE_THE_FIRST
        try:
            row = from_line(line)
        except AuditError:
            return None
        return link_of(row) if row_hash(row) == row["hash"] else None

    def head(self) -> Link | None:
        """What the record beside the chain says of the last row; None where it is missing or unreadable."""
        return read_head(self.folder)

    def rows_after(self, sequence: int) -> Iterator[Row]:
        """The rows after this one, the last first; a line that is no row is passed over."""
        for line in self._lines_backwards():
            try:
                row = from_line(line)
            except AuditError:
                continue
            if row["sequence"] <= sequence:
                return
            yield row

    def _refuse_without_key(self) -> None:
        if self._key is None and ("seal" in _read_head_file(self.folder) or self._is_last_sealed()):
            raise AuditError(
                f"{self.path}: its rows are sealed and this process has no key; set {KEY_VARIABLE} to the file that has it"
            )

    def _is_last_sealed(self) -> bool:
        """By the row itself: its writer may have died before the head was written, or somebody removed that."""
        return any("seal" in row for row in islice(self.rows_after(0), 1))

    def _lines_backwards(self) -> Iterator[bytes]:
        pieces = pieces_backwards(self.path)
        next(pieces)
        yield from pieces

    def _set_half_line_aside(self) -> None:
        half = next(pieces_backwards(self.path))
        if half:
            name = hashlib.sha256(half).hexdigest()
            write_durably(self.folder / ASIDE_FOLDER / (name + NOT_RECORDED_YET), half)
            cut_durably(self.path, len(half))

    def _half_lines_set_aside(self) -> list[Entry]:
        """One entry for each that no row tells of yet: a process may have died between the two."""
        return [
            Entry(
                event="line_set_aside",
                user=os_user(),
                details={"kept_as": f"{ASIDE_FOLDER}/{path.stem}", "bytes": path.stat().st_size, "sha256": path.stem},
            )
            for path in self._not_recorded()
        ]

    def _mark_recorded(self) -> None:
        for path in self._not_recorded():
            path.rename(path.with_suffix(""))

    def _not_recorded(self) -> list[Path]:
        return sorted((self.folder / ASIDE_FOLDER).glob(f"*{NOT_RECORDED_YET}"))

    def _write_head(self, row: Row) -> None:
        head = {name: row[name] for name in ("sequence", "hash", "seal") if name in row}
        write_durably(self.folder / HEAD_FILE, json.dumps(head).encode())


def read_head(folder: Path) -> Link | None:
    values = _read_head_file(folder)
    try:
        return Link(sequence=int(values["sequence"]), hash=str(values["hash"]))
    except (ValueError, TypeError, KeyError):
        return None


def _read_head_file(folder: Path) -> dict[str, Any]:
    """Nothing where it is missing or unreadable."""
    try:
        values = json.loads((folder / HEAD_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _leads_to(head: Link, tail: Link | None) -> bool:
    """Whether the file's end is the head, or rows after it that were written by a process that died before its head."""
    return tail is not None and (tail == head or tail.sequence > head.sequence)


def _rows_missing(head: Link, tail: Link | None) -> Entry:
    found = None if tail is None else tail.sequence
    return Entry(event="rows_missing", user=os_user(), details={"head": head.sequence, "last_row_found": found})
