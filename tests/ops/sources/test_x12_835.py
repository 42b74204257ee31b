from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from decimal import Decimal
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.sources import x12_835, x12_segments
from lang1_assets.ops.sources.x12_835 import (
    COLUMNS,
    RemittanceReader,
    RemittanceReport,
    X12Error,
    read_835,
)
from lang1_assets.ops.sources.x12_segments import segments
from tests.outside_data import OUTSIDE, needs_outside_data

SAMPLES = OUTSIDE / "x12-835-samples"
PERSON = ("NM1*QC*1*SECRETLAST*SECRETFIRST****MI*SECRETMEMBER", "NM1*74*1*SECRETLAST*SECRETFIRST")
PAYER = ("N1*PR*ACME HEALTH*XV*87726", "N3*1 MAIN ST", "N4*DURHAM*NC*27702")
BPR = "BPR*I*100*C*ACH*CCP*01*1*DA*3*1**01*1*DA*2*20220110"
ISA = "ISA*00*          *00*          *ZZ*ACME           *ZZ*HOSPITAL       *220110*1000*^*00501*{:09d}*0*P*:"

Rows = list[dict[str, Any]]


def _claim(
    account: str, status: str = "1", charge: str = "100", paid: str = "100", *more: str, tail: str = "*0*12*ICN1*11*1"
) -> list[str]:
    return [f"CLP*{account}*{status}*{charge}*{paid}{tail}", *PERSON, *more]


def _set(
    *claims: list[str], control: str = "0001", head: tuple[str, ...] = (BPR, "DTM*405*20220105", *PAYER)
) -> list[str]:
    inside = [f"ST*835*{control}", *head, "LX*1", *(segment for claim in claims for segment in claim)]
    return [*inside, f"SE*{len(inside) + 1}*{control}"]


def _interchange(*sets: list[str], number: int = 7) -> list[str]:
    held = [segment for each in sets for segment in each]
    group = [f"GS*HP*ACME*HOSPITAL*20220110*1000*{number}*X*005010X221A1", *held, f"GE*{len(sets)}*{number}"]
    return [ISA.format(number), *group, f"IEA*1*{number:09d}"]


def _bytes(found: list[str], separator: str = "*", terminator: str = "~", after: str = "") -> bytes:
    return "".join(segment.replace("*", separator) + terminator + after for segment in found).encode()


def _read(data: bytes, block_bytes: int = 1 << 20) -> tuple[Rows, int]:
    reader = RemittanceReader("a.835")
    for segment in segments(data[start : start + block_bytes] for start in range(0, len(data), block_bytes)):
        reader.read(segment)
    reader.finish()
    return [{name: row.get(name) for name in COLUMNS} for row in reader.take_rows()], reader.num_claims


def _rows(data: bytes) -> Rows:
    return _read(data)[0]


def _one(*more: str, **changes: str) -> dict[str, Any]:
    (row,) = _rows(_bytes(_interchange(_set(_claim("A1", *changes.values(), *more)))))
    return row


def _rejects(rows: Rows) -> dict[str, str]:
    return {row["source_line"]: row["reject_reason"] for row in rows if row["reject_reason"]}


def _accounts(rows: Rows) -> list[str]:
    return [row["claim_id"] for row in rows if not row["reject_reason"]]


THREE_SETS = _interchange(
    _set(_claim("A1"), _claim("A2", "4", "50", "0", "CAS*CO*29*50"), control="0001"),
    _set(_claim("B1"), _claim("B2"), _claim("B3", "1", "10", "8", "SVC*HC:1*10*8", "CAS*PR*2*2"), control="0002"),
    _set(_claim("C1"), control="0003"),
)


def test_a_claim_in_full(tmp_path: Path) -> None:
    claim = _claim(
        "ACCT-7",
        "1",
        "150.5",
        "40",
        "DTM*232*20211201",
        "DTM*233*20211203",
        "DTM*050*20211220",
        "SVC*HC:99213*100.5*40",
        "DTM*472*20211201",
        "CAS*CO*45*50.5**253*10",
        "SVC*HC:99214*50*0",
        "CAS*PR*1*50",
        "CAS*CO*45*0",
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.835").write_bytes(_bytes(_interchange(_set(claim))))
    report = read_835(tmp_path / "in", tmp_path / "out")
    assert report == RemittanceReport(num_files=1, num_claims=1, rejects_by_reason={})
    frame = pl.read_parquet(tmp_path / "out" / "remittances.parquet")
    assert set(frame.dtypes) == {pl.String}
    assert frame.to_dicts() == [
        {
            "claim_id": "ACCT-7",
            "payer_claim_id": "ICN1",
            "claim_status_code": "1",
            "charge_amount": "150.5",
            "paid_amount": "40",
            "filing_code": "12",
            "frequency_code": "1",
            "statement_from": "2021-12-01",
            "statement_to": "2021-12-03",
            "received_date": "2021-12-20",
            "status_time": "2022-01-05",
            "payer": "ACME HEALTH",
            "adjustment_codes": "CO-253|CO-45|PR-1",
            "is_denied": "false",
            "source_line": "a.835:10",
            "reject_reason": None,
        }
    ]


@pytest.mark.parametrize(
    ("status", "charge", "paid", "adjustments", "expected"),
    [
        ("4", "100", "0", ["CAS*CO*29*100"], "true"),
        ("4", "100", "0", ["CAS*PR*204*100"], "true"),
        ("1", "100", "0", ["CAS*CO*29*100"], "true"),
        ("2", "100", "0.00", ["CAS*CO*45*60", "SVC*HC:1*100*0", "CAS*PI*50*40"], "true"),
        ("19", "100", "0", ["CAS*OA*18*100", "CAS*PR*1*0"], "true"),
        ("1", "100", "0", ["CAS*PR*1*100"], "false"),
        ("1", "100", "0", ["CAS*CO*45*80", "CAS*PR*1*20"], "false"),
        ("1", "100", "0", ["CAS*CO*45*99.99"], "false"),
        ("1", "100", "0", ["CAS*CR*45*100"], "false"),
        ("1", "100", "0", [], "false"),
        ("1", "0", "0", ["CAS*CO*45*0"], "false"),
        ("1", "100", "0.01", ["CAS*CO*45*100"], "false"),
        ("22", "-100", "0", ["CAS*CO*45*-100"], "false"),
        ("22", "100", "0", ["CAS*CO*45*100"], "false"),
        ("25", "100", "0", ["CAS*CO*101*100"], "false"),
    ],
)
def test_what_counts_as_a_denial(status: str, charge: str, paid: str, adjustments: list[str], expected: str) -> None:
    row = _one(*adjustments, status=status, charge=charge, paid=paid)
    assert (row["is_denied"], row["claim_status_code"]) == (expected, status)


def test_without_a_production_date_the_day_of_payment_stands_and_without_both_none() -> None:
    (paid,) = _rows(_bytes(_set(_claim("A1"), head=(BPR,))))
    (neither,) = _rows(_bytes(_set(_claim("A1"), head=("BPR*I*100*C*CHK",))))
    assert (paid["status_time"], paid["payer"]) == ("2022-01-10", None)
    assert (neither["status_time"], neither["reject_reason"]) == (None, None)


def test_what_one_transaction_says_of_its_payer_does_not_reach_the_next() -> None:
    other = ("N1*PE*HOSPITAL", "DTM*405*20220301", "N1*PR*OTHER PLAN")
    rows = _rows(_bytes(_interchange(_set(_claim("A1")), _set(_claim("B1"), head=other), _set(_claim("C1"), head=()))))
    assert [(row["payer"], row["status_time"]) for row in rows] == [
        ("ACME HEALTH", "2022-01-05"),
        ("OTHER PLAN", "2022-03-01"),
        (None, None),
    ]


@pytest.mark.parametrize("after", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize(("separator", "terminator"), [("*", "~"), ("|", "\n"), ("\x1d", "\x1c"), ("^", "\r")])
def test_any_delimiters_and_line_breaks(separator: str, terminator: str, after: str) -> None:
    claims = _claim("A1"), _claim("A2", "4")
    found = [segment.replace("^", "+") for segment in _interchange(_set(*claims))]
    assert _rows(_bytes(found, separator, terminator, after)) == _rows(_bytes(found))
    assert _accounts(_rows(_bytes(found, separator, terminator, after))) == ["A1", "A2"]


def test_each_interchange_of_a_file_has_its_own_delimiters() -> None:
    data = (
        _bytes(_interchange(_set(_claim("A1")))) + b"\n" + _bytes(_interchange(_set(_claim("B1")), number=8), "|", "!")
    )
    rows = _rows(b"\xef\xbb\xbf\n" + data + _bytes(_interchange(_set(_claim("C1")), number=9)) + b"\r\n\x1a")
    assert _accounts(rows) == ["A1", "B1", "C1"]
    assert _rejects(rows) == {}


def test_a_file_may_start_at_gs_or_st_and_its_last_terminator_may_be_missing() -> None:
    whole = _interchange(_set(_claim("A1")), _set(_claim("B1"), control="0002"))
    for found in (whole, whole[1:-1], whole[2:-2]):
        rows = _rows(_bytes(found)[:-1])
        assert _accounts(rows) == ["A1", "B1"]
        assert _rejects(rows) == {}


@pytest.mark.parametrize("block_bytes", [1, 7, 106, 107])
def test_blocks_may_end_anywhere(block_bytes: int) -> None:
    data = _bytes(THREE_SETS, after="\r\n") + _bytes(_interchange(_set(_claim("D1")), number=8), "|", "!")
    assert _read(data, block_bytes) == _read(data)


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("CLP*B2*1*100", "malformed_segment"),
        ("CLP**1*100*100", "malformed_segment"),
        ("CLP*B2*1**100", "malformed_segment"),
        ("CLP*B2*1*100*100**12*ICN\x07", "malformed_segment"),
        ("CLP*B2*1*100*100*0*12*ICN*11*1NM1*QC*1*SECRETLAST", "malformed_segment"),
        ("CLP*B2*1*1OO*100", "bad_number"),
        ("CLP*B2*1*100*1,5", "bad_number"),
        ("CLP*B2*PR*100*100", "malformed_segment"),
        ("CLP*B2*1*100*100**ST*SECRETFIRST****MI*SECRETMEMBER", "bad_number"),
        ("CLP*B2*1*100*-", "bad_number"),
        ("CLP*B2*1*100*1e3", "bad_number"),
        ("CLP*B2*1*100*\N{ARABIC-INDIC DIGIT ONE}", "bad_number"),
    ],
)
def test_a_bad_claim_is_rejected_and_its_neighbors_are_not(segment: str, reason: str) -> None:
    damaged = [segment, *PERSON, "CAS*CO*45*10", "DTM*232*20211201"]
    rows, num_claims = _read(_bytes(_interchange(_set(_claim("B1"), damaged, _claim("B3")))))
    assert (_accounts(rows), num_claims) == (["B1", "B3"], 3)
    assert _rejects(rows) == {"a.835:13": reason}
    assert [name for name, value in rows[1].items() if value] == ["source_line", "reject_reason"]


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("CAS*CO", "malformed_segment"),
        ("CAS*CO*45", "malformed_segment"),
        ("CAS*CO*45*10**253", "malformed_segment"),
        ("CAS**45*10", "malformed_segment"),
        ("CAS*CO*45*ten", "bad_number"),
        ("CAS*CO*4-5*10", "malformed_segment"),
        ("DTM*232*2021-12-01", "malformed_segment"),
        ("DTM*050", "malformed_segment"),
        ("CXS*CO*45*10", "malformed_segment"),
    ],
)
def test_a_bad_segment_rejects_the_claim_it_stands_in(segment: str, reason: str) -> None:
    rows, num_claims = _read(
        _bytes(_interchange(_set(_claim("B1"), _claim("B2", "1", "9", "9", segment), _claim("B3"))))
    )
    assert (_accounts(rows), num_claims) == (["B1", "B3"], 3)
    assert _rejects(rows)["a.835:13"] == reason


def test_bytes_that_are_not_utf_8_matter_only_where_they_are_read() -> None:
    data = _bytes(_interchange(_set(_claim("A1", "1", "9", "9", "DTM*232*2021"), _claim("A2"))))
    assert _accounts(_rows(data.replace(b"SECRETLAST", b"M\xfcLLER").replace(b"*2021~", b"*20211201~"))) == ["A1", "A2"]
    rows = _rows(data.replace(b"DTM*232*2021", b"DTM*232*2\xfc21").replace(b"*A2*", b"*\xfcA2*"))
    assert _rejects(rows) == {"a.835:10": "malformed_segment", "a.835:14": "malformed_segment"}
    rows = _rows(data.replace(b"*2021~", b"*20211201~").replace(b"ACME HEALTH", b"SOCI\xc9T\xc9"))
    assert _rejects(rows) == {"a.835:6": "malformed_segment"}
    assert [row["payer"] for row in rows if row["claim_id"]] == [None, None]


def test_a_file_cut_anywhere_keeps_the_claims_before_and_says_so() -> None:
    data = _bytes(THREE_SETS)
    whole = _rows(data)
    assert _rejects(whole) == {}
    for length in range(3, len(data) - 1):
        rows, num_claims = _read(data[:length])
        kept = [row for row in rows if not row["reject_reason"]]
        assert kept == whole[: len(kept)]
        assert _rejects(rows), length
        assert num_claims == data[:length].count(b"~CLP*") - (data[:length].rpartition(b"~")[2].startswith(b"CLP*"))
        assert num_claims - len(kept) <= 1


def test_a_set_without_its_end_rejects_the_claim_it_stopped_in() -> None:
    found = [segment for segment in THREE_SETS if segment != next(s for s in THREE_SETS if s.startswith("SE"))]
    rows = _rows(_bytes(found))
    assert _accounts(rows) == ["A1", "B1", "B2", "B3", "C1"]
    assert sorted(_rejects(rows).values()) == ["truncated_transaction"]


@pytest.mark.parametrize(
    ("found", "changed"),
    [("SE*15*0001", "SE*16*0001"), ("SE*15*0001", "SE*15*0002"), ("GE*3*7", "GE*4*7"), ("IEA*1*000000007", "IEA*1*1")],
)
def test_a_wrong_count_or_control_number_is_a_row_of_its_own(found: str, changed: str) -> None:
    assert found in THREE_SETS
    rows = _rows(_bytes([changed if segment == found else segment for segment in THREE_SETS]))
    assert _accounts(rows) == ["A1", "A2", "B1", "B2", "B3", "C1"]
    assert _rejects(rows) == {f"a.835:{THREE_SETS.index(found) + 1}": "malformed_segment"}


def test_claims_outside_of_a_transaction_are_rejected() -> None:
    found = [segment.replace("ST*835*0002", "XT*835*0002") for segment in THREE_SETS]
    rows, num_claims = _read(_bytes(found))
    assert (_accounts(rows), num_claims) == (["A1", "A2", "C1"], 6)
    assert set(_rejects(rows).values()) == {"malformed_segment"}


def test_other_transaction_sets_are_one_row_each() -> None:
    acknowledgment = ["ST*999*0001", "AK1*HC*1*005010X222A1", "AK9*A*1*1*1", "SE*4*0001"]
    rows = _rows(_bytes(_interchange(acknowledgment, _set(_claim("A1"), control="2"))))
    assert _accounts(rows) == ["A1"]
    assert _rejects(rows) == {"a.835:3": "not_835"}


@pytest.mark.parametrize(
    "data", [b"", b"  \n", b"ST", b"claim_id,paid\n1,2\n", b"%PDF-1.7\x00\xff", b"\xff\xfeI\0S\0A\0"]
)
def test_what_is_no_x12_is_one_row(data: bytes) -> None:
    assert _rejects(_rows(data)) == {"a.835:1": "not_x12"}


def test_a_file_without_terminators_is_not_kept_in_memory() -> None:
    blocks = [b"ST*835*1~CLP*A1*1*5*5~REF*", *[b"x" * (1 << 20)] * 8, b"~LX*2~CLP*A2*1*5*5~"]
    reader = RemittanceReader("a.835")
    longest = 0
    for segment in segments(blocks):
        longest = max(longest, len(segment.raw))
        reader.read(segment)
    assert longest == x12_segments.MAXIMUM_SEGMENT_BYTES
    assert _rejects(reader.take_rows()) == {"a.835:2": "malformed_segment", "a.835:3": "malformed_segment"}


def test_files_of_all_names_in_order_and_what_is_no_file_of_ours(tmp_path: Path) -> None:
    data = _bytes(THREE_SETS)
    (tmp_path / "2022" / "folder.edi").mkdir(parents=True)
    (tmp_path / "2022" / "b.EDI").write_bytes(data)
    (tmp_path / "c.835.gz").write_bytes(gzip.compress(data))
    (tmp_path / "d.txt").write_text("read me")
    (tmp_path / "e.csv").write_bytes(data)
    (tmp_path / "f.x12.gz").write_bytes(gzip.compress(data)[:-20])
    (tmp_path / "g.x12.gz").write_bytes(data)
    (tmp_path / "h.x12").write_bytes(gzip.compress(data))
    report = read_835(tmp_path, tmp_path / "out")
    assert report.num_files == 6
    assert report.rejects_by_reason == {"not_x12": 1, "truncated_transaction": 1}
    frame = pl.read_parquet(tmp_path / "out" / "remittances.parquet")
    assert len(frame) == frame["claim_id"].count() + 2
    whole = frame.filter(pl.col("source_line").str.starts_with("2022/b.EDI:"))
    assert whole["claim_id"].to_list() == ["A1", "A2", "B1", "B2", "B3", "C1"]
    for name in ("c.835.gz", "g.x12.gz", "h.x12"):
        same = frame.filter(pl.col("source_line").str.starts_with(f"{name}:"))
        assert same.drop("source_line").equals(whole.drop("source_line"))


def test_rows_are_written_in_batches_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x12_835, "ROWS_PER_BATCH", 4)
    for name in ("a.835", "b.835", "c.835"):
        (tmp_path / name).write_bytes(_bytes(THREE_SETS) + b"CLP*A1")
    report = read_835(tmp_path, tmp_path / "out")
    assert len(pl.read_parquet(tmp_path / "out" / "remittances.parquet")) == 21
    assert report == RemittanceReport(num_files=3, num_claims=18, rejects_by_reason={"truncated_transaction": 3})


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(X12Error, match="is not a folder"):
        read_835(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "claims.csv").write_text("claim_id\n")
    with pytest.raises(X12Error, match=r"no file there ends in \.835, \.edi"):
        read_835(tmp_path, tmp_path / "out")


def test_a_file_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(BufferedIOBase):
        def read1(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    (tmp_path / "a.835").write_bytes(_bytes(THREE_SETS))
    monkeypatch.setattr(x12_segments, "opened", lambda path: Broken())
    with pytest.raises(X12Error, match=r"a\.835 cannot be read \(Input/output error\)"):
        read_835(tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@st.composite
def _damaged(draw: st.DrawFn, start: int, stop: int, longest: int) -> bytes:
    """Up to three slices between two places of THREE_SETS replaced, removed or lengthened."""
    data = _bytes(THREE_SETS)
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(start, stop))
        last = draw(st.integers(first, min(stop, first + longest)))
        piece = draw(st.one_of(st.binary(max_size=3), st.sampled_from([b"~", b"*", b"\n", b"~CLP*", b"~SE*", b"9"])))
        data, stop = data[:first] + piece + data[last:], stop + len(piece) - (last - first)
    return data


LENGTH = len(_bytes(THREE_SETS))


@given(data=_damaged(0, LENGTH, 300))
@settings(max_examples=300, deadline=None)
def test_damage_of_any_size_never_raises(data: bytes) -> None:
    rows, num_claims = _read(data)
    kept = [row for row in rows if not row["reject_reason"]]
    assert len(kept) <= num_claims <= len(rows)
    assert all(row["claim_id"] and row["charge_amount"] and row["is_denied"] for row in kept)
    assert all(sum(value is not None for value in row.values()) == 2 for row in rows if row["reject_reason"])
    assert len({row["source_line"] for row in kept}) == len(kept)


@given(data=_damaged(0, LENGTH, 2))
@settings(max_examples=300, deadline=None)
def test_damage_of_a_few_bytes_shows_no_name(data: bytes) -> None:
    assert "SECRET" not in str(_rows(data))


# From after the second ST to before its SE.
FIRST_SET = [_bytes(THREE_SETS).index(text) for text in (b"~BPR", b"~SE*")]
SECOND_SET = [_bytes(THREE_SETS).index(text, FIRST_SET[1] + 1) for text in (b"~BPR", b"~SE*")]


@given(data=_damaged(*SECOND_SET, 300))
@settings(max_examples=300, deadline=None)
def test_damage_within_one_transaction_leaves_the_claims_of_the_others(data: bytes) -> None:
    kept = [row for row in _rows(data) if not row["reject_reason"]]
    whole = _rows(_bytes(THREE_SETS))
    assert kept[:2] == whole[:2]
    assert kept[-1] | {"source_line": None} == whole[-1] | {"source_line": None}


@needs_outside_data
def test_published_samples_have_the_sums_of_their_expected_table(tmp_path: Path) -> None:
    report = read_835(SAMPLES, tmp_path)
    frame = pl.read_parquet(tmp_path / "remittances.parquet")
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with (SAMPLES / "expected_all_samples.csv").open() as lines:
        for row in csv.DictReader(lines):
            for name in ("charge_amount", "paid_amount"):
                expected[row["payer"]][name] += Decimal(row[name] or 0)  # type: ignore[assignment]
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in frame.filter(pl.col("reject_reason").is_null()).to_dicts():
        for name in ("charge_amount", "paid_amount"):
            found[row["payer"]][name] += Decimal(row[name])  # type: ignore[assignment]
    assert found == expected
    assert frame.filter(pl.col("is_denied") == "true")["adjustment_codes"].to_list() == ["CO-29"]
    # Its first sample says one segment more than it has; a text file lies beside the samples.
    assert report.num_claims == 6
    assert report.rejects_by_reason == {"malformed_segment": 1, "not_x12": 1}
