"""What one row of the audit says, and the hash that ties it to the row before it.

A row is one line of JSON. It holds names, fingerprints and times: no note text, no patient's id, no error message.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

Event = Literal[
    "materialized",
    "reused",
    "failed",
    "interrupted",
    "put_in_service",
    "forgotten",
    "expired",
    "line_set_aside",
    "rows_missing",
]
EVENTS: tuple[str, ...] = get_args(Event)
Row = dict[str, Any]

OUTSIDE_THE_HASH = ("hash", "seal")


class AuditError(ValueError):
    """The audit cannot be read or gone on with; the message names the file and what to do."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event, before it has a place in the chain."""

    event: Event
    user: str
    """The account of the operating system that did it."""
    profile: str | None = None
    artifact: str | None = None
    """Its name in the profile's store, such as `finetuned_joint/VARIANT`."""
    asset: str | None = None
    partition: str | None = None
    run_id: str | None = None
    """Of Dagster; None where something was made outside it."""
    launched_by: Mapping[str, str] = field(default_factory=dict)
    """Job and tags of the run: the person, schedule, sensor or backfill that started it."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Name -> fingerprint of each artifact that it was made from."""
    fingerprint: str | None = None
    code: Mapping[str, Any] = field(default_factory=dict)
    """`version` of the package, `commit` and whether files were `changed` since, where it is a checkout."""
    begun: str | None = None
    """When the work began; with the artifact's name it tells one attempt from another."""
    recovered: bool = False
    """Written by a later process, because the one that did it died before it could."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Link:
    """A place in the chain: the last row that a new one follows, or one that somebody wrote down."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


BEFORE_THE_FIRST = Link(sequence=0, hash="0" * 64)


def link_rows(entries: Iterable[Entry], last: Link, now: datetime, key: bytes | None) -> list[Row]:
    """Rows that follow `last`, one another's hash in each.

    Args:
        now: UTC.
        key: rows are also sealed with it, so that only who has it can make a row.
    """
    rows = []
    for entry in entries:
        row: Row = {
            "sequence": last.sequence + 1,
            "time": now.isoformat(timespec="microseconds"),
            **asdict(entry),
            "previous": last.hash,
        }
        row["hash"] = row_hash(row)
        if key is not None:
            row["seal"] = seal_of(row["hash"], key)
        rows.append(row)
        last = link_of(row)
    return rows


def link_of(row: Mapping[str, Any]) -> Link:
    return Link(sequence=row["sequence"], hash=row["hash"])


def row_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 of the row without its hash and seal, as JSON with sorted keys, no blanks and ASCII alone.

    >>> row_hash({"sequence": 1, "hash": "not counted"}) == row_hash({"sequence": 1})
    True
    """
    counted = {name: value for name, value in row.items() if name not in OUTSIDE_THE_HASH}
    return hashlib.sha256(_json(counted, sort_keys=True)).hexdigest()


def seal_of(digest: str, key: bytes) -> str:
    """HMAC-SHA-256 of a row's hash."""
    return hmac.new(key, digest.encode(), "sha256").hexdigest()


def to_line(row: Mapping[str, Any]) -> bytes:
    return _json(row) + b"\n"


def from_line(line: bytes) -> Row:
    """The row of a line without its newline.

    Raises:
        AuditError: it is no row, or not written as this module writes one: a name that is there twice would be read as one
            thing here and as another elsewhere.
    """
    try:
        row = json.loads(line)
        # No number that JSON does not know (NaN), and no depth that Python does not.
        written = _json(row) if isinstance(row, dict) else b""
    except (ValueError, RecursionError) as error:
        raise AuditError("not JSON") from error
    if not isinstance(row, dict) or not _is_place(row):
        raise AuditError("no row of an audit: sequence (a number), previous and hash (64 hexadecimal digits) expected")
    if written != line:
        raise AuditError("not written as the audit writes a row")
    return row


def os_user() -> str:
    """The account that this process runs as. `$USER` says what somebody put there; this asks the system."""
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        # A container's account need not have a name.
        return f"uid {number}"


def _is_place(row: Mapping[str, Any]) -> bool:
    digests = [row.get(name) for name in ("previous", "hash")]
    return type(row.get("sequence")) is int and all(isinstance(text, str) and len(text) == 64 for text in digests)


def _json(row: Mapping[str, Any], sort_keys: bool = False) -> bytes:
    return json.dumps(row, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False).encode()
