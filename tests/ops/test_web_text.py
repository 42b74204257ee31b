from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops import web_text
from lang1_assets.ops.web_text import WebTextError, read_web_text


def line(text: object, subset: str = "RedPajamaC4") -> bytes:
    return json.dumps({"text": text, "meta": {"redpajama_set_name": subset}}).encode() + b"\n"


def compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A plain file, and a compressed one of two frames whose second document is cut by the frame's end."""
    folder = tmp_path / "source"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "a.jsonl").write_bytes(
        line("one") + b"\n" + b'{"text": "broken\n' + line(7) + line("  ") + b'{"text": "bare"}\n' + b"[1]\n"
    )
    second, third = line("zw\u00f6lf\nlines", "RedPajamaBook"), line("last", "RedPajamaBook").rstrip()
    (folder / "b.jsonl.zst").write_bytes(compress(line("two") + second[:9]) + compress(second[9:] + third))
    return folder


def test_every_line_is_a_document_or_a_reject(tmp_path: Path, source: Path) -> None:
    report = read_web_text(source, tmp_path)
    documents = pl.read_parquet(tmp_path / "documents" / "*.parquet")
    assert dict(documents.select("document_id", "text").iter_rows()) == {
        "b.jsonl.zst:1": "two",
        "b.jsonl.zst:2": "zw\u00f6lf\nlines",
        "b.jsonl.zst:3": "last",
        "train/a.jsonl:1": "one",
        "train/a.jsonl:6": "bare",
    }
    rejects = pl.read_parquet(tmp_path / "rejects.parquet")
    assert dict(rejects.select("row_id", "reason").iter_rows()) == {
        "train/a.jsonl:3": "not_json",
        "train/a.jsonl:4": "no_text",
        "train/a.jsonl:5": "empty",
        "train/a.jsonl:7": "no_text",
    }
    assert (report.rows_in, report.rows_kept) == (9, 5)
    assert report.rejects_by_reason == {"empty": 1, "no_text": 2, "not_json": 1}
    assert report.documents_by_subset == {"RedPajamaBook": 2, "RedPajamaC4": 2, "unknown": 1}


def test_half_a_surrogate_and_bytes_that_are_not_utf8_are_rejects(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'{"text": "\\ud800 x"}\n{"text": "caf\xe9"}\n{"text": "fine"}\n' + b"[" * 200_000
    )
    report = read_web_text(tmp_path, tmp_path / "out")
    assert report.rows_kept == 1
    assert report.rejects_by_reason == {"not_json": 2, "not_unicode": 1}


def test_documents_are_written_file_by_file(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_text, "DOCUMENTS_PER_FILE", 2)
    monkeypatch.setattr(web_text, "READ_BYTES", 5)
    read_web_text(source, tmp_path)
    sizes = {path.name: len(pl.read_parquet(path)) for path in sorted((tmp_path / "documents").iterdir())}
    assert sizes == {"part-00000-00000.parquet": 2, "part-00000-00001.parquet": 1, "part-00001-00000.parquet": 2}


def test_of_very_many_files_some_share_a_file_of_documents(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = read_web_text(source, tmp_path / "one")
    monkeypatch.setattr(web_text, "MAX_JOBS", 1)
    assert read_web_text(source, tmp_path / "shared") == one_by_one
    (only,) = (tmp_path / "shared" / "documents").iterdir()
    assert pl.read_parquet(only).equals(pl.read_parquet(tmp_path / "one" / "documents" / "*.parquet"))
    rejects = [pl.read_parquet(tmp_path / name / "rejects.parquet") for name in ("one", "shared")]
    assert rejects[0].equals(rejects[1])


def test_a_file_of_long_documents_is_cut_by_bytes(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_text, "BYTES_PER_FILE", len(line("two")) + 1)
    read_web_text(source, tmp_path)
    sizes = [len(pl.read_parquet(path)) for path in sorted((tmp_path / "documents").iterdir())]
    assert sizes == [2, 1, 2]


def test_any_number_of_processes_writes_the_same_files(tmp_path: Path, source: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = read_web_text(source, tmp_path / "one", on_progress=lambda done, total: seen.append((done, total)))
    two = read_web_text(source, tmp_path / "two", num_workers=2)
    assert one == two
    assert seen == [(1, 2), (2, 2)]
    files = [
        {str(p.relative_to(f)): p.read_bytes() for p in sorted(f.rglob("*.parquet"))}
        for f in (tmp_path / "one", tmp_path / "two")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3


def parsed_by_the_letter(raw: bytes) -> tuple[str, str] | str | None:
    """The standard library alone, every step spelled out."""
    if not raw.strip():
        return None
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        return "not_json"
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return "no_text"
    if not row["text"].strip():
        return "empty"
    meta = row.get("meta")
    subset = meta.get("redpajama_set_name") if isinstance(meta, dict) else None
    subset = subset if isinstance(subset, str) else "unknown"
    try:
        (subset + row["text"]).encode()
    except UnicodeEncodeError:
        return "not_unicode"
    return subset, row["text"]


TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(["", " ", "\u2003", "a\x00", "NaN"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXTS | VALUES,
        "meta": VALUES | st.fixed_dictionaries({"redpajama_set_name": TEXTS | VALUES}),
        "other": VALUES,
    },
)
LINES = st.one_of(
    st.builds(
        lambda row, ascii: json.dumps(row, ensure_ascii=ascii).encode("utf-8", "surrogatepass"),
        ROWS | VALUES,
        st.booleans(),
    ),
    st.binary(max_size=12),
    st.text('{}[]":,tex01e.-+NaN\\ud80 \t\r', max_size=14).map(str.encode),
    st.sampled_from(
        [
            b'{"text": "a", "text": "b"}',
            b'{"text": 1, "text": "b"}',
            b'\xef\xbb\xbf{"text": "a"}',
            b'{"text": "a", "n": NaN}',
            b'{"text": "a", "n": 1e999}',
            b'{"text": "a", "n": 123456789012345678901234567890}',
            b'{"text": "\\ud83d\\ude00"}',
            b'{"text": "\\ude00\\ud83d"}',
            b'{"text": "tab\there"}',
            b'{"text": "a"}\r',
            b'\x0c{"text": "a"}',
            b"{'text': 'a'}",
            '{"text": "a"}'.encode("utf-16"),
        ]
    ),
)


@given(LINES)
def test_a_line_is_read_as_by_the_standard_library(raw: bytes) -> None:
    assert web_text.parse(raw) == parsed_by_the_letter(raw)


def test_a_file_cut_short_is_an_error_that_names_it(tmp_path: Path, source: Path) -> None:
    path = source / "b.jsonl.zst"
    whole = path.read_bytes()
    path.write_bytes(whole[:-6])
    with pytest.raises(WebTextError, match=r"b\.jsonl\.zst: ends in the middle"):
        read_web_text(source, tmp_path)
    path.write_bytes(b"not compressed at all")
    with pytest.raises(WebTextError, match=r"b\.jsonl\.zst: broken compression"):
        read_web_text(source, tmp_path)


def test_no_file_and_no_document_are_errors(tmp_path: Path) -> None:
    with pytest.raises(WebTextError, match=r"no \.jsonl or \.jsonl\.zst file"):
        read_web_text(tmp_path, tmp_path)
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    with pytest.raises(WebTextError, match="none of 1 lines is a document"):
        read_web_text(tmp_path, tmp_path)
