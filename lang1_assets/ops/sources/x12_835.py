"""Claim payments and denials from X12 835 remittance files (ASC X12N 005010X221A1 and its forerunner 004010X091A1).

One row a claim (a CLP segment), as text; names and member ids (NM1) are never read. What cannot be read becomes a row with
a reject reason instead.

Why no library: pyx12 4.0 (the best kept) and oxedi 0.6 (beta, compiled) want ISA first; pyx12 takes one interchange's
delimiters for a whole file, stops without a word at an empty segment and dies of an SE too many; x12sdk 2.2 raises at a
bad amount, and the claims after it are lost; edi-835-parser 1.8 holds a file in memory as one transaction.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lang1_assets.ops.sources.x12_claims import (
    Claim,
    Payment,
    Row,
    adjustments_of,
    claim_date,
    claim_values,
    is_denied,
    read_payment,
)
from lang1_assets.ops.sources.x12_segments import MAXIMUM_SEGMENT_BYTES, Segment, SegmentError, blocks, segments

SUFFIXES = (".835", ".edi", ".txt", ".x12")
"""Of the files that are read, in any case; `.gz` may follow."""
COLUMNS = (
    "claim_id",
    "payer_claim_id",
    "claim_status_code",
    "charge_amount",
    "paid_amount",
    "filing_code",
    "frequency_code",
    "statement_from",
    "statement_to",
    "received_date",
    "status_time",
    "payer",
    "adjustment_codes",
    "is_denied",
    "source_line",
    "reject_reason",
)
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])

ROWS_PER_BATCH = 50_000

LEVELS = {"ISA": 0, "GS": 1, "ST": 2}
"""The envelopes (interchange, functional group, transaction set), outermost first."""
CLOSERS = {"IEA": "ISA", "GE": "GS", "SE": "ST"}
CONTROL_ELEMENTS = {"ISA": 13, "GS": 6, "ST": 2}
"""Where an envelope's control number stands; the closing segment repeats it as its second element."""
SEGMENT_ID = re.compile("AMT|BPR|CAS|CLP|CUR|DTM|LQ|LX|MIA|MOA|N1|N2|N3|N4|NM1|NTE|PER|PLB|QTY|RDM|REF|SVC|TRN|TS2|TS3")
"""What an 835 may hold between ST and SE. Another id is a damaged one: a claim or an adjustment may hide behind it."""


class X12Error(ValueError):
    """No remittance file to read."""


@dataclass(frozen=True, kw_only=True)
class RemittanceReport:
    num_files: int
    num_claims: int
    """CLP segments, each of them a row, rejected or not."""
    rejects_by_reason: dict[str, int]
    """Rejected claims, and rows of their own for what is wrong outside of a claim."""


@dataclass(kw_only=True)
class Envelope:
    """An interchange, group or transaction set that has not ended yet."""

    opener: str
    control_number: str = ""
    num_inside: int = 0
    """Groups of an interchange, sets of a group, segments of a set: what its closing segment should count."""
    is_835: bool = False


def read_835(folder: Path, output: Path) -> RemittanceReport:
    """Remittance files of `folder`, and of folders in it, as `output/remittances.parquet` (`SCHEMA`), file by file.

    `source_line` is "FILE:SEGMENT", counted from 1. A rejected row has that and its reason alone:

    - `malformed_segment`: elements too few, too many or too long, bytes that are not UTF-8, an id that no 835 has, a count
      or control number at the end of an envelope that is not that of its content, a claim outside of a transaction set;
    - `bad_number`: an amount that is none;
    - `truncated_transaction`: the file, or the envelope around, ended too early; the claim it ended in is not whole;
    - `not_835`: another transaction set (837, 999, ...); `not_x12`: another kind of file.

    Dates become YYYY-MM-DD and are not looked up in a calendar; `status_time` is the production date of the file (DTM 405),
    else the date of payment (BPR16). For `is_denied` see there.

    Raises:
        X12Error: the folder is missing or has no such file, or a file cannot be opened.
    """
    files = remittance_files(folder)
    output.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    rejects: Counter[str] = Counter()
    rows = (row for path in files for row in rows_of(path, path.relative_to(folder).as_posix(), counts))
    beside = output / "remittances.tmp"
    try:
        with pq.ParquetWriter(beside, SCHEMA) as writer:
            while batch := list(islice(rows, ROWS_PER_BATCH)):
                rejects.update(reason for row in batch if (reason := row.get("reject_reason")))
                writer.write_table(pa.Table.from_pylist(batch, SCHEMA))
        beside.rename(output / "remittances.parquet")
    finally:
        beside.unlink(missing_ok=True)
    return RemittanceReport(
        num_files=len(files), num_claims=counts["claims"], rejects_by_reason=dict(sorted(rejects.items()))
    )


def remittance_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise X12Error(f"{folder} is not a folder; set it to where the X12 835 files are")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().removesuffix(".gz").endswith(SUFFIXES) and path.is_file()
    )
    if not files:
        raise X12Error(f"{folder}: no file there ends in {', '.join(SUFFIXES)} (or one of these and .gz)")
    return files


def rows_of(path: Path, name: str, counts: Counter[str]) -> Iterator[Row]:
    """Rows of one file; `counts["claims"]` grows by its claims."""
    reader = RemittanceReader(name)
    try:
        for segment in segments(blocks(path)):
            reader.read(segment)
            yield from reader.take_rows()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        reader.is_cut = True
    except OSError as error:
        raise X12Error(f"{path} cannot be read ({error.strerror}); make it readable") from None
    reader.finish()
    yield from reader.take_rows()
    counts["claims"] += reader.num_claims


class RemittanceReader:
    """Rows of one file from its segments: those of a claim are taken together, envelopes are counted and closed."""

    def __init__(self, name: str) -> None:
        self.is_cut = False
        self.num_claims = 0
        self._name = name
        self._number = 0
        self._rows: list[Row] = []
        self._open: list[Envelope] = []
        self._payment = Payment()
        self._claim: Claim | None = None
        self._is_astray = False

    def take_rows(self) -> list[Row]:
        """The rows that are done since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def read(self, segment: Segment) -> None:
        self._number = segment.number
        if not segment.is_whole and segment.id not in CLOSERS:
            self.is_cut = True
            return
        if self._open and self._open[-1].opener == "ST":
            self._open[-1].num_inside += 1
        try:
            self._dispatch(segment.id, segment)
        except SegmentError as error:
            self._reject(str(error))

    def finish(self) -> None:
        """After the last segment."""
        if self._number == 0:
            self._number = 1
            self._reject("truncated_transaction" if self.is_cut else "not_x12")
        elif self.is_cut or self._open:
            self._reject("truncated_transaction")
        self._end_claim()

    def _dispatch(self, segment_id: str, segment: Segment) -> None:
        if segment_id in LEVELS:
            self._open_envelope(segment_id, segment)
        elif segment_id in CLOSERS:
            self._close_envelope(CLOSERS[segment_id], segment)
        elif segment_id == "CLP":
            self._open_claim(segment)
        elif self._open and self._open[-1].opener == "ST":
            if self._open[-1].is_835:
                self._read_inside(segment_id, segment)
        elif segment_id != "TA1" and not self._is_astray:
            # Once for all that follows a damaged ST.
            self._is_astray = True
            raise SegmentError("malformed_segment")

    def _open_envelope(self, opener: str, segment: Segment) -> None:
        self._cut_off(LEVELS[opener])
        self._is_astray = False
        if self._open and LEVELS[self._open[-1].opener] == LEVELS[opener] - 1:
            self._open[-1].num_inside += 1
        envelope = Envelope(opener=opener, num_inside=1 if opener == "ST" else 0)
        self._open.append(envelope)
        elements = segment.elements(minimum=1)
        envelope.control_number = elements[CONTROL_ELEMENTS[opener]]
        if opener == "ST":
            self._payment = Payment()
            envelope.is_835 = elements[1] == "835"
            if not envelope.is_835:
                raise SegmentError("not_835")

    def _close_envelope(self, opener: str, segment: Segment) -> None:
        self._cut_off(LEVELS[opener] + 1)
        if not self._open or self._open[-1].opener != opener:
            raise SegmentError("malformed_segment")
        envelope = self._open.pop()
        self._is_astray = False
        _, count, control_number, *_ = segment.elements(minimum=2, maximum=2)
        if not count.isdecimal() or (int(count), control_number) != (envelope.num_inside, envelope.control_number):
            raise SegmentError("malformed_segment")

    def _cut_off(self, level: int) -> None:
        """End the claim, and the envelopes from `level` inwards that should have been closed before."""
        if any(LEVELS[envelope.opener] >= level for envelope in self._open):
            self._reject("truncated_transaction")
        self._open = [envelope for envelope in self._open if LEVELS[envelope.opener] < level]
        self._end_claim()

    def _open_claim(self, segment: Segment) -> None:
        self._end_claim()
        self.num_claims += 1
        self._claim = Claim(source_line=f"{self._name}:{segment.number}")
        if not self._open or self._open[-1].opener != "ST":
            raise SegmentError("malformed_segment")
        if not self._open[-1].is_835:
            raise SegmentError("not_835")
        self._claim.values = claim_values(segment)

    def _read_inside(self, segment_id: str, segment: Segment) -> None:
        """A segment of an 835 that opens no claim."""
        if not SEGMENT_ID.fullmatch(segment_id) or len(segment.raw) >= MAXIMUM_SEGMENT_BYTES:
            self._reject_claim("malformed_segment")
            self._end_claim()
            raise SegmentError("malformed_segment")
        if segment_id in ("LX", "PLB"):
            self._end_claim()
        elif self._claim is None:
            read_payment(self._payment, segment_id, segment)
        elif segment_id == "CAS":
            for code, amount in adjustments_of(segment):
                self._claim.adjustments[code] = self._claim.adjustments.get(code, Decimal()) + amount
        elif segment_id == "DTM":
            self._claim.values.update(claim_date(segment))

    def _end_claim(self) -> None:
        claim, self._claim = self._claim, None
        if claim is None:
            return
        if claim.reject_reason is not None:
            self._rows.append({"source_line": claim.source_line, "reject_reason": claim.reject_reason})
            return
        self._rows.append(
            {
                **claim.values,
                "status_time": self._payment.production_date or self._payment.payment_date,
                "payer": self._payment.payer,
                "adjustment_codes": "|".join(sorted(claim.adjustments)) or None,
                "is_denied": "true" if is_denied(claim) else "false",
                "source_line": claim.source_line,
            }
        )

    def _reject(self, reason: str) -> None:
        """The open claim, or a row of its own for the segment where there is none."""
        if self._claim is None:
            self._rows.append({"source_line": f"{self._name}:{self._number}", "reject_reason": reason})
        self._reject_claim(reason)

    def _reject_claim(self, reason: str) -> None:
        if self._claim is not None and self._claim.reject_reason is None:
            self._claim.reject_reason = reason
