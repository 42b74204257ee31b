"""Are patients or texts of one split met in another, or notes of a test in the pretraining corpus?"""

from __future__ import annotations

from typing import Any, Literal

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.leakage.findings import LeakCheck, LeakLimits, cannot_tell
from lang1_assets.ops.leakage.groups import sampled
from lang1_assets.ops.leakage.hashes import near_duplicates, text_hashes


def patient_overlap(notes: pl.DataFrame, split_by: Literal["note", "patient"]) -> LeakCheck:
    """Patients of the training notes in each other split, counted; an error where the split was to keep them apart.

    That is the development window cut by patient. In the temporal splits patients come back, as in the paper (appendix L).
    """
    seen = notes.filter(pl.col("split") == "train")["subject_id"].unique().to_list()
    is_seen = pl.col("subject_id").is_in(seen)
    rows = (
        notes.filter(pl.col("split") != "train")
        .group_by("split")
        .agg(
            num_notes=pl.len(),
            num_patients=pl.col("subject_id").n_unique(),
            num_seen_patients=pl.col("subject_id").filter(is_seen).n_unique(),
            num_notes_of_seen_patients=is_seen.sum(),
        )
        .sort("split")
        .to_dicts()
    )
    shared = sum(row["num_seen_patients"] for row in rows if row["split"] in schemas.DEVELOPMENT_SPLITS)
    return LeakCheck(
        name="patient_overlap",
        passed=split_by == "note" or shared == 0,
        severity="error",
        message=f"{shared:,} patients of the training notes are also in val or test; the split is by {split_by}",
        numbers={"num_seen_patients": shared, "split_by": split_by},
        table=tuple(rows),
    )


def text_overlap(notes: pl.DataFrame, limits: LeakLimits, seed: int) -> LeakCheck:
    """No text of another split equals a training text; near-duplicates are counted only.

    Templates make near-duplicates of notes about different patients, so their number is for a person to read. They are
    found among a sample of at most `max_compared_notes` of either side.
    """
    hashed = notes.select("split", "text", text_hashes(notes["text"]))
    train = hashed.filter(pl.col("split") == "train")
    others = hashed.filter(pl.col("split") != "train").with_columns(
        is_seen=pl.col("text_hash").is_in(train["text_hash"].unique().to_list())
    )
    some_train, some_others = (sampled(frame, limits.max_compared_notes, seed) for frame in (train, others))
    near = some_others.select("split", is_near=pl.Series(near_duplicates(some_others["text"], some_train["text"])))
    rows = (
        others.group_by("split")
        .agg(num_notes=pl.len(), num_identical=pl.col("is_seen").sum())
        .join(
            near.group_by("split").agg(num_compared=pl.len(), num_near_duplicates=pl.col("is_near").sum()),
            on="split",
            how="left",
        )
        .sort("split")
        .to_dicts()
    )
    num_identical, num_near = int(others["is_seen"].sum()), int(near["is_near"].sum())
    return LeakCheck(
        name="text_overlap",
        passed=num_identical == 0,
        severity="warn",
        message=f"{num_identical:,} of {len(others):,} notes outside training repeat a training text; of {len(near):,} "
        f"compared, {num_near:,} are near-duplicates",
        numbers={
            "num_identical": num_identical,
            "num_near_duplicates": num_near,
            "num_compared_notes": len(some_others),
            "num_compared_train_notes": len(some_train),
        },
        table=tuple(rows),
    )


def corpus_overlap(notes: pl.DataFrame, corpus_hashes: pl.DataFrame | None, headline_split: str) -> LeakCheck:
    """Notes outside training that pretraining reads, by note id and by text, counted.

    The paper pretrains on notes that include the finetuning ones, so only the split whose results are reported raises a
    question, and no more than that.
    """
    name = "corpus_overlap"
    if corpus_hashes is None:
        return cannot_tell(name, "warn", "no corpus was given")
    rows = corpus_rows(notes.filter(pl.col("split") != "train"), corpus_hashes)
    headline = next((row for row in rows if row["split"] == headline_split), None)
    num_notes, num_found = (sum(row[column] for row in rows) for column in ("num_notes", "num_in_corpus"))
    num_headline = headline["num_in_corpus"] if headline else 0
    doubt = "" if headline else f"cannot tell: no notes of {headline_split}; "
    return LeakCheck(
        name=name,
        passed=num_headline == 0,
        severity="warn",
        message=f"{doubt}{num_found:,} of {num_notes:,} notes outside training are in the pretraining corpus, "
        f"{num_headline:,} of them in {headline_split}",
        numbers={"num_in_corpus": num_found, f"num_in_corpus_{headline_split}": num_headline},
        table=tuple(rows),
    )


def corpus_rows(notes: pl.DataFrame, corpus_hashes: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for each split: its notes, and how many of them the corpus holds by id, by text, and either way."""
    has_note = pl.col("note_id").is_in(corpus_hashes["note_id"].unique().to_list())
    has_text = pl.col("text_hash").is_in(corpus_hashes["text_hash"].unique().to_list())
    return (
        notes.select("split", "note_id", text_hashes(notes["text"]))
        .group_by("split")
        .agg(
            num_notes=pl.len(),
            num_by_note_id=has_note.sum(),
            num_by_text=has_text.sum(),
            num_in_corpus=(has_note | has_text).sum(),
        )
        .sort("split")
        .to_dicts()
    )
