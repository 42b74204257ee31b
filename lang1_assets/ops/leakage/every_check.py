"""Every leak check of one task, on its examples and their timing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.leakage.findings import LeakageError, LeakCheck, LeakLimits
from lang1_assets.ops.leakage.models import (
    auroc_change_when_masked,
    bag_of_words,
    metadata_alone,
    shuffled_labels,
    too_good,
)
from lang1_assets.ops.leakage.overlap import corpus_overlap, patient_overlap, text_overlap
from lang1_assets.ops.leakage.phrases import no_outcome_phrase
from lang1_assets.ops.leakage.timing import (
    input_window_identical_for_both_classes,
    no_label_where_follow_up_is_censored,
    note_not_after_index_time,
    note_within_its_window,
    outcome_after_index_time,
)
from lang1_assets.ops.results import HEADLINE_SPLIT
from lang1_assets.ops.tasks import Task


def leak_checks(
    task: Task,
    examples: pl.DataFrame,
    timing: pl.DataFrame,
    limits: LeakLimits,
    *,
    corpus_hashes: pl.DataFrame | None = None,
    split_by: Literal["note", "patient"],
    headline_split: str = HEADLINE_SPLIT,
    seed: int,
    aurocs: Mapping[str, float] | None = None,
) -> list[LeakCheck]:
    """Every check of one task.

    Args:
        examples: rows of `schemas.EXAMPLES`.
        timing: rows of `schemas.TIMING`, of this task or of all; the column `task` may be missing.
        corpus_hashes: `note_id` and `text_hash` (`hashed_texts`) of the notes that pretraining reads.
        split_by: what the development window was cut by.
        headline_split: the split whose results are reported and whose notes pretraining must not have read; "test" for a
            source without calendar splits.
        aurocs: results to look at beside this module's own models, by the name to print.

    Raises:
        LeakageError: there are no examples, a column is missing, or timing does not fit the examples.
    """
    notes = joined_timing(task, examples, timing)
    words = bag_of_words(task, notes, limits, seed)
    masked = auroc_change_when_masked(task, words, limits, seed)
    metadata = metadata_alone(task, notes, limits, seed)
    own = {f"{check.name} (test)": float(check.numbers.get("auroc", math.nan)) for check in (masked, metadata)}
    return [
        note_within_its_window(task, notes, limits),
        note_not_after_index_time(task, notes),
        outcome_after_index_time(notes),
        *([no_label_where_follow_up_is_censored(notes, limits)] if task.name == "readmission" else []),
        input_window_identical_for_both_classes(task, notes, limits),
        no_outcome_phrase(task, notes, limits),
        masked,
        metadata,
        shuffled_labels(words, limits, seed),
        too_good({**own, **(aurocs or {})}, limits),
        patient_overlap(notes, split_by),
        text_overlap(notes, limits, seed),
        corpus_overlap(notes, corpus_hashes, headline_split),
    ]


def joined_timing(task: Task, examples: pl.DataFrame, timing: pl.DataFrame) -> pl.DataFrame:
    """Examples with the columns of `schemas.TIMING`, by note id.

    Raises:
        LeakageError: as `leak_checks`.
    """
    own = timing.filter(pl.col("task") == task.name) if "task" in timing.columns else timing
    for frame, name, expected in ((examples, "examples", schemas.EXAMPLES), (own, "timing", schemas.TIMING)):
        missing = [column for column in expected.names if column not in frame.columns and column != "task"]
        if missing:
            raise LeakageError(
                f"task '{task.name}': {name} lack column(s) {', '.join(missing)}; build the cohort again"
            )
        twice = frame.filter(pl.col("note_id").is_duplicated())["note_id"]
        if len(twice):
            raise LeakageError(f"task '{task.name}': {name} hold note_id {twice[0]} more than once")
    if examples.is_empty():
        raise LeakageError(f"task '{task.name}': no examples to check")
    columns = [pl.col(name) for name in schemas.TIMING.names if name not in ("task", "prediction_time")]
    joined = examples.join(
        own.select(*columns, timed_prediction=pl.col("prediction_time")), on="note_id", how="left", coalesce=True
    )
    strangers = examples.join(own, on="note_id", how="anti")["note_id"].to_list()
    moved = joined.filter(~pl.col("prediction_time").eq_missing(pl.col("timed_prediction")))["note_id"].to_list()
    for found, what in ((strangers, "have no timing"), (moved, "have another prediction_time in timing")):
        if found:
            raise LeakageError(
                f"task '{task.name}': {len(found)} examples {what} (first: note_id {min(found)}); timing and examples are "
                "of two cohorts, build both again"
            )
    return joined.drop("timed_prediction").sort("note_id")
