"""Patients and texts that two splits share, and tests that pretraining has read."""

import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.leakage import hashed_texts
from lang1_assets.ops.leakage.overlap import corpus_overlap
from tests.ops.leakage.cohort import SIZES, checks_of, failed, hospital, where


def test_a_patient_in_two_splits_is_an_error_only_where_the_split_is_by_patient() -> None:
    frame = hospital().with_columns(where(pl.col("note_id") == "n-test-0001", "subject_id", pl.lit("s-train-0001")))
    by_patient = checks_of(frame, split_by="patient")
    assert failed(by_patient) == {"patient_overlap": "error"}
    assert failed(checks_of(frame, split_by="note")) == {}
    (row,) = [row for row in by_patient["patient_overlap"].table if row["split"] == "test"]
    assert (row["num_seen_patients"], row["num_notes_of_seen_patients"]) == (1, 1)


def test_a_patient_who_comes_back_later_is_counted_but_no_error() -> None:
    """The paper's temporal splits are cut by date alone (appendix L)."""
    back = pl.col("note_id") == "n-temporal_2024-0001"
    checks = checks_of(hospital().with_columns(where(back, "subject_id", pl.lit("s-train-0001"))), split_by="patient")
    assert failed(checks) == {}
    seen = {row["split"]: row["num_seen_patients"] for row in checks["patient_overlap"].table}
    assert seen == {"test": 0, "val": 0, "temporal_2021": 0, "temporal_2024": 1}


def test_a_text_in_two_splits_whatever_its_layout() -> None:
    frame = hospital()
    copied = frame.filter(note_id="n-train-0005")["text"][0].upper().replace(" ", ",  ")
    checks = checks_of(frame.with_columns(where(pl.col("note_id") == "n-test-0001", "text", pl.lit(copied))))
    assert failed(checks) == {"text_overlap": "warn"}
    assert checks["text_overlap"].numbers["num_identical"] == 1
    assert checks["text_overlap"].numbers["num_near_duplicates"] == 1


def test_near_duplicates_are_counted_with_their_split() -> None:
    frame = hospital()
    source = frame.filter(pl.col("split") == "train", pl.col("text").str.len_chars() > 300)["text"][:40].to_list()
    changed = pl.concat([frame.filter(split="val").head(40).with_columns(text=pl.Series(source) + " addendum"), frame])
    checks = checks_of(changed.unique("note_id", keep="first", maintain_order=True))
    assert failed(checks) == {}
    near = {row["split"]: row["num_near_duplicates"] for row in checks["text_overlap"].table}
    assert near["val"] >= 39
    assert near["test"] == near["temporal_2024"] == 0


@pytest.mark.parametrize("by", ["note_id", "text"])
def test_a_headline_note_in_the_corpus(by: str) -> None:
    frame = hospital()
    note = frame.filter(note_id="n-temporal_2024-0007")
    corpus = hashed_texts(
        note.with_columns(text=pl.lit("else")) if by == "note_id" else note.with_columns(note_id=pl.lit("x"))
    )
    checks = checks_of(frame, corpus_hashes=corpus)
    assert failed(checks) == {"corpus_overlap": "warn"}
    (row,) = [row for row in checks["corpus_overlap"].table if row["split"] == "temporal_2024"]
    assert (row["num_by_note_id"], row["num_by_text"]) == ((1, 0) if by == "note_id" else (0, 1))


def test_other_notes_in_the_corpus_are_counted_as_the_paper_has_them() -> None:
    frame = hospital()
    corpus = hashed_texts(frame.filter(pl.col("split").is_in(["train", "test"])))
    checks = checks_of(frame, corpus_hashes=corpus)
    assert failed(checks) == {}
    assert checks["corpus_overlap"].numbers["num_in_corpus"] == SIZES["test"]
    assert corpus_overlap(frame, None, "test").message.startswith("cannot tell")


def test_without_calendar_splits_the_test_is_the_headline_and_a_question_not_an_error() -> None:
    frame = hospital().filter(pl.col("split").is_in(schemas.DEVELOPMENT_SPLITS))
    clean = checks_of(frame, corpus_hashes=hashed_texts(frame.filter(split="train")), headline_split="test")
    assert failed(clean) == {}
    assert not clean["corpus_overlap"].message.startswith("cannot tell")
    read = checks_of(frame, corpus_hashes=hashed_texts(frame.filter(split="test").head(3)), headline_split="test")
    assert failed(read) == {"corpus_overlap": "warn"}
    assert read["corpus_overlap"].numbers == {"num_in_corpus": 3, "num_in_corpus_test": 3}
    assert read["corpus_overlap"].message.endswith("3 of them in test")


def test_a_headline_split_without_notes_cannot_be_judged_but_the_others_are_counted() -> None:
    frame = hospital().filter(pl.col("split").is_in(schemas.DEVELOPMENT_SPLITS))
    check = corpus_overlap(frame, hashed_texts(frame), "temporal_2024")
    assert check.passed
    assert check.message.startswith("cannot tell: no notes of temporal_2024; 450 of 450 notes")
    assert [(row["split"], row["num_in_corpus"]) for row in check.table] == [("test", 300), ("val", 150)]
