"""Whether the chain is whole: what was changed, taken out, put in or moved, and what was cut off its end.

The hashes show what was done without making every later row anew. Whoever can write the file can make them anew; then a seal
(`keys.py`) or a link that was written down elsewhere shows it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lang1_assets.ops.audit.chain import read_head
from lang1_assets.ops.audit.entries import (
    BEFORE_THE_FIRST,
    AuditError,
    Link,
    Row,
    from_line,
    link_of,
    row_hash,
    seal_of,
)
from lang1_assets.ops.audit.files import CHAIN_FILE, HEAD_FILE

MANIFEST_EVENTS = ("materialized", "reused", "forgotten")
"""After these a row's fingerprint is that of the artifact in the store."""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A link that was written down somewhere else than beside the chain."""

    link: Link
    where: str


KEPT = "landed_history/"


@dataclass(kw_only=True)
class Report:
    """What a verification found."""

    path: Path
    num_rows: int = 0
    last: Link = BEFORE_THE_FIRST
    times: tuple[str, str] | None = None
    """Of the first row and the last."""
    num_sealed: int = 0
    is_last_sealed: bool = False
    num_anchors: int = 0
    problems: list[str] = field(default_factory=list)
    """Somebody or something changed the audit, or what it tells of."""
    notes: list[str] = field(default_factory=list)
    """What a row itself tells of, and what is less protected than it could be."""
    latest: dict[tuple[str, str], str] = field(default_factory=dict)
    """(profile, artifact) -> the fingerprint that it has by its last row."""
    made: set[tuple[str, str, str]] = field(default_factory=set)
    """(profile, artifact, fingerprint) of every row that tells of one."""


def verify(path: Path, key: bytes | None = None, anchors: Sequence[Anchor] = ()) -> Report:
    """Read a chain from its first row to its last.

    Args:
        path: the chain's file or a copy of it. Beside `audit.jsonl` the head's record is read too.
        key: the one that its rows are sealed with; without it seals are counted and not checked.
        anchors: each must be a row of the chain.

    Raises:
        AuditError: there is no such file.
    """
    report = Report(path=path)
    has_head = path.name == CHAIN_FILE
    # Read before the rows: others may be appending.
    head = read_head(path.parent) if has_head else None
    hashes: dict[int, str] = {}
    wanted = {anchor.link.sequence for anchor in anchors} | ({head.sequence} if head else set())
    for number, row in _rows(path, report):
        _check_place(row, number, report)
        _check_seal(row, number, report, key)
        _remember(row, report)
        if row["sequence"] in wanted:
            hashes[row["sequence"]] = row["hash"]
    _check_anchors(anchors, hashes, report)
    _check_sealed_to_the_end(report, key)
    if has_head:
        _check_head(report, head, hashes)
        _check_nothing_after_head(report, read_head(path.parent))
    return report


def compare_with_store(report: Report, manifests: Mapping[tuple[str, str], str]) -> None:
    """Add what the store has and the audit tells otherwise.

    Args:
        manifests: (profile, artifact) -> fingerprint, of every finished artifact. One that another took the place of is kept
            as `landed_history/ARTIFACT/FINGERPRINT`, and was made under its own name.
    """
    current = {name: fingerprint for name, fingerprint in manifests.items() if not name[1].startswith(KEPT)}
    unknown = [" ".join(name) for name in current if name not in report.latest]
    for (profile, artifact), fingerprint in manifests.items() - current.items():
        name = artifact.removeprefix(KEPT).rpartition("/")[0]
        if (profile, name, fingerprint) not in report.made:
            unknown.append(f"{profile} {artifact}")
    for (profile, artifact), fingerprint in current.items():
        told = report.latest.get((profile, artifact), fingerprint)
        if told != fingerprint:
            report.problems.append(
                f"{profile} {artifact}: its manifest has fingerprint {fingerprint}, its last row {told}: it was made or "
                "changed without the audit"
            )
    if unknown:
        report.notes.append(
            f"{len(unknown)} artifacts have no row; they are older than the audit: {', '.join(unknown)}"
        )


def _rows(path: Path, report: Report) -> Iterator[tuple[int, Row]]:
    """Line number and row; a line that is no row is a problem and passed over."""
    try:
        handle = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise AuditError(f"{path}: {error.strerror}; expected the audit's file of JSON lines") from error
    with handle:
        for number, line in enumerate(handle, start=1):
            if not line.endswith(b"\n"):
                report.notes.append(f"line {number} is half written: the next row sets it aside and tells so")
                continue
            try:
                yield number, from_line(line[:-1])
            except AuditError as error:
                report.problems.append(f"line {number}: changed or put in: {error}")


def _check_place(row: Row, number: int, report: Report) -> None:
    sequence, expected = row["sequence"], report.last.sequence + 1
    where = f"line {number}, row {sequence}"
    if row_hash(row) != row["hash"]:
        report.problems.append(f"{where}: changed: its hash is not that of its content")
    if sequence > expected:
        missing = f"row {expected} is" if sequence == expected + 1 else f"rows {expected} to {sequence - 1} are"
        report.problems.append(f"{where}: {missing} missing before it")
    elif sequence < expected:
        report.problems.append(f"{where}: put in or out of order: row {expected} was expected")
    elif row["previous"] != report.last.hash:
        report.problems.append(f"{where}: does not follow the row before it, which was changed or put in")


def _check_seal(row: Row, number: int, report: Report, key: bytes | None) -> None:
    where = f"line {number}, row {row['sequence']}"
    seal = row.get("seal")
    report.is_last_sealed = seal is not None
    if seal is None and report.num_sealed:
        report.problems.append(f"{where}: has no seal although rows before it have one")
    if seal is not None and key is not None and not hmac.compare_digest(str(seal), seal_of(row["hash"], key)):
        report.problems.append(f"{where}: was not sealed with this key")
    report.num_sealed += seal is not None


def _remember(row: Row, report: Report) -> None:
    report.num_rows += 1
    report.last = link_of(row)
    time = str(row.get("time"))
    report.times = (report.times[0] if report.times else time, time)
    if row.get("event") in MANIFEST_EVENTS and row.get("artifact") and row.get("fingerprint"):
        report.latest[str(row.get("profile")), row["artifact"]] = row["fingerprint"]
        report.made.add((str(row.get("profile")), row["artifact"], row["fingerprint"]))
    if row.get("event") == "line_set_aside":
        report.notes.append(
            f"row {row['sequence']}: a half-written line was set aside; its details say where it is kept"
        )


def _check_anchors(anchors: Sequence[Anchor], hashes: Mapping[int, str], report: Report) -> None:
    for anchor in anchors:
        report.num_anchors += 1
        found = hashes.get(anchor.link.sequence)
        if found is None:
            report.problems.append(f"row {anchor.link.sequence} is missing; {anchor.where} tells of it")
        elif found != anchor.link.hash:
            report.problems.append(
                f"row {anchor.link.sequence} is another than the one that {anchor.where} tells of: the chain was made anew"
            )


def _check_sealed_to_the_end(report: Report, key: bytes | None) -> None:
    if key is not None and report.num_rows and not report.is_last_sealed:
        report.problems.append(
            "the last row has no seal although there is a key: the chain was made anew, or without the key"
        )
    elif report.num_sealed and report.num_sealed < report.num_rows:
        report.notes.append(f"{report.num_rows - report.num_sealed} rows have no seal")


def _check_head(report: Report, head: Link | None, hashes: Mapping[int, str]) -> None:
    if head is None:
        if report.num_rows:
            report.problems.append(f"the record of the last row ({HEAD_FILE}) is missing or unreadable")
    elif head.sequence > report.last.sequence:
        report.problems.append(f"cut off after row {report.last.sequence}: the head's record is of row {head.sequence}")
    elif hashes.get(head.sequence) != head.hash:
        report.problems.append(f"row {head.sequence} is another than the one that the head's record is of")


def _check_nothing_after_head(report: Report, head: Link | None) -> None:
    if head is not None and head.sequence < report.last.sequence:
        report.notes.append(
            f"the head's record is of row {head.sequence}: the process that wrote the rows after it was killed, or they "
            "were not written by this program"
        )
