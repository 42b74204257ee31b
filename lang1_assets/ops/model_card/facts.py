"""What is known of one finetuned model: gathered from artifacts, plain JSON, no text of any note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lang1_assets.ops.analysis.spellings import recorded
from lang1_assets.ops.analysis.strata import SPELLED

Rows = Sequence[Mapping[str, Any]]
DEMOGRAPHICS = ("age", *SPELLED)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """None, or nothing, where it was not run."""

    variant: str
    recipe: str
    tasks: Sequence[str]
    """That it was finetuned on, those of them that it was evaluated on."""
    is_synthetic: bool
    source: Mapping[str, Any]
    """`kind`, and what was counted on intake."""
    cohorts: Mapping[str, Any]
    """The profile's choices: windows, shares, note types, labels."""
    splits: Sequence[str]
    headline_split: str
    attrition: Rows
    """Of its tasks: `cohort_attrition`."""
    counts: Rows
    """Of its tasks: `cohort_counts`."""
    people: Rows
    """`described`, task by task and split by split."""
    base: Mapping[str, Any]
    """How the base came about: `origin`, `mixture`, `tokens`, `num_parameters`, `architecture`."""
    finetuned: Mapping[str, Any]
    """The summary of its finetuning."""
    settings: Mapping[str, Any]
    """Of the finetuning."""
    search: Rows
    """Trials of the learning rate."""
    rows: Rows
    """`results.ResultRow` of every test of its tasks."""
    transfer: Rows
    """`results.ResultRow` of tasks that it was not finetuned on."""
    record: Mapping[str, Any]
    """Of the evaluation: hashes, versions, parameters."""
    elsewhere: Rows | None
    """`results.ResultRow` on another hospital's test."""
    strata: Rows | None
    overlap: Rows | None
    memorization: str | None
    """The verdict on the base."""
    leaks: Mapping[str, Rows]
    """Task -> the leak checks that were run on its notes: `name`, `passed`, `message`."""
    registered: str
    """Name and version in MLflow."""
    fingerprints: Mapping[str, str]
    """Artifact -> fingerprint."""


def described(task: str, examples: pl.DataFrame) -> list[dict[str, Any]]:
    """Notes, patients, age, sex and missing demographics of each split of one task.

    Args:
        examples: rows of `schemas.COHORT`.
    """
    found = examples.group_by("split", maintain_order=True).agg(
        num_notes=pl.len(),
        num_patients=pl.col("subject_id").n_unique(),
        mean_age=pl.col("age").mean(),
        share_female=(pl.col("sex").str.to_uppercase().str.starts_with("F")).mean(),
        first_time=pl.col("prediction_time").min().dt.strftime("%Y-%m"),
        last_time=pl.col("prediction_time").max().dt.strftime("%Y-%m"),
        missing_age=pl.col("age").null_count(),
        **{f"missing_{name}": recorded(pl.col(name)).null_count() for name in SPELLED},
    )
    return [{"task": task, **row} for row in found.iter_rows(named=True)]
