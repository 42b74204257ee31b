from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.sources.x12_segments import Segment, SegmentError, blocks, delimiters_of, segments

ISA = b"ISA*00*          *00*          *ZZ*ACME           *ZZ*HOSPITAL       *220110*1000*^*00501*000000007*0*P*:~"


@pytest.mark.parametrize(
    ("isa", "expected"),
    [
        (ISA, (b"*", b"~")),
        (ISA.replace(b"*", b"|").replace(b"~", b"\n"), (b"|", b"\n")),
        (ISA.replace(b"*", b"A"), None),
        (ISA.replace(b"~", b"Z"), None),
        (ISA.replace(b"~", b" "), None),
        (ISA.replace(b"~", b"*"), None),
        (ISA.replace(b"*", b"\xe9"), None),
        (ISA[:10] + b"*" + ISA[11:], None),
        (ISA.replace(b"*P*", b"**P"), None),
    ],
)
def test_delimiters_stand_at_fixed_places(isa: bytes, expected: tuple[bytes, bytes] | None) -> None:
    assert delimiters_of(isa) == expected


def test_segments_are_numbered_without_the_empty_ones_and_the_last_may_be_cut() -> None:
    found = list(segments([b"\xef\xbb\xbf\r\nST*835*1~~\nLX*1~", b"SE*3"]))
    assert [(segment.number, segment.raw, segment.is_whole) for segment in found] == [
        (1, b"ST*835*1", True),
        (2, b"LX*1", True),
        (3, b"SE*3", False),
    ]
    assert [segment.id for segment in found] == ["ST", "LX", "SE"]


@given(st.lists(st.binary(max_size=12).map(lambda each: each.replace(b"ISA", b"")), max_size=20))
def test_segments_do_not_depend_on_where_blocks_end(parts: list[bytes]) -> None:
    assert list(segments([ISA, *parts])) == list(segments([ISA + b"".join(parts)]))


def test_elements_are_counted_from_the_id_and_missing_ones_are_empty() -> None:
    assert Segment(1, b"DTM*405* 20220105 ", b"*").elements(maximum=3) == ["DTM", "405", "20220105", ""]


@pytest.mark.parametrize("raw", [b"DTM", b"DTM*", b"DTM*1*2*3*4", b"DTM*\xff", b"DTM*4\n05", b"DTM*4\x0005"])
def test_a_segment_that_is_none_is_an_error_without_its_text(raw: bytes) -> None:
    with pytest.raises(SegmentError, match=r"^malformed_segment$"):
        Segment(1, raw, b"*").elements(minimum=1, maximum=3)


def test_zipped_files_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(ISA)
    (tmp_path / "zipped.835").write_bytes(gzip.compress(ISA))
    assert [b"".join(blocks(tmp_path / name)) for name in ("plain.gz", "zipped.835")] == [ISA, ISA]
