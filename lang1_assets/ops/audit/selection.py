"""The rows that somebody asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lang1_assets.ops.audit.entries import AuditError, Row, from_line


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a row must be; None asks for nothing."""

    since: datetime | None = None
    """UTC; rows of this moment are included."""
    asset: str | None = None
    """An asset, or an artifact of it."""
    partition: str | None = None
    event: str | None = None
    run_id: str | None = None
    made_from: str | None = None
    """A fingerprint among the inputs."""
    pseudonym: str | None = None
    """Of a patient (`keys.pseudonym`)."""

    def includes(self, row: Row) -> bool:
        return all(
            (
                self.since is None or datetime.fromisoformat(row["time"]) >= self.since,
                self.asset is None or self.asset in (row["asset"], row["artifact"]),
                self.partition is None or self.partition == row["partition"],
                self.event is None or self.event == row["event"],
                self.run_id is None or self.run_id == row["run_id"],
                self.made_from is None or self.made_from in row["inputs"].values(),
                self.pseudonym is None or self.pseudonym in row["details"].get("patients", ()),
            )
        )


def select_lines(path: Path, asked: Asked) -> Iterator[bytes]:
    """The lines of the chain as they are written there, so that whoever gets them can check each hash.

    Raises:
        AuditError: there is no chain, or a line is no row.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}; it begins with the first asset that is materialized") from error
    with handle:
        for number, line in enumerate(handle, start=1):
            # A half line is being written or will be set aside.
            if line.endswith(b"\n") and _includes(asked, line, f"{path}, line {number}"):
                yield line


def moment(text: str) -> datetime:
    """A date or a time in ISO 8601; UTC where it does not say.

    >>> moment("2026-11-21").isoformat()
    '2026-11-21T00:00:00+00:00'

    Raises:
        AuditError: it is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise AuditError(f"{text!r}: expected a date or a time in ISO 8601, such as 2026-11-21") from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def _includes(asked: Asked, line: bytes, where: str) -> bool:
    try:
        return asked.includes(from_line(line[:-1]))
    except (AuditError, KeyError) as error:
        raise AuditError(f"{where}: no row of the audit ({error}); 'lang1 audit verify' says what happened") from error
