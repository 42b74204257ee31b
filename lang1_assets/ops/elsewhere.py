"""Labelled notes of another hospital: whether they ask the same task, and how many there are (paper 5.2.3)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import Task


class ElsewhereError(ValueError):
    """Another hospital's labelled notes cannot be used; the message lists every problem."""


def check_examples(path: Path, task: Task) -> None:
    """That a file of labelled notes has the schema, the splits and the classes of `task`.

    Raises:
        ElsewhereError: with every problem found.
    """
    expected = pl.DataFrame(schemas.EXAMPLES.empty_table()).schema
    found = pl.read_parquet_schema(path)
    wrong = [
        f"column {name}: found {found.get(name, 'none')}, expected {kind}"
        for name, kind in expected.items()
        if found.get(name) != kind
    ]
    if wrong:
        raise ElsewhereError(f"{path}: {'; '.join(wrong)}")
    labels = pl.read_parquet(path, columns=["split", "label"])
    problems = [
        f"no note in split '{split}'"
        for split in schemas.DEVELOPMENT_SPLITS
        if split not in labels["split"].unique().to_list()
    ]
    beyond = labels.filter(~pl.col("label").is_between(0, task.num_classes - 1))["label"].unique().sort().to_list()
    if beyond:
        problems.append(f"labels {beyond}, expected 0 to {task.num_classes - 1} for the options of {task.name}")
    if problems:
        raise ElsewhereError(f"{path}: {'; '.join(problems)}")


def class_ratios(path: Path, task: Task) -> pl.DataFrame:
    """Of each split: `split`, `notes`, `patients`, and a column `0`, `1` ... with the share of each class."""
    rows = pl.scan_parquet(path).select("split", "subject_id", "label")
    shares = [(pl.col("label") == label).mean().alias(str(label)) for label in range(task.num_classes)]
    counted = rows.group_by("split").agg(
        pl.len().alias("notes"), pl.col("subject_id").n_unique().alias("patients"), *shares
    )
    order = {split: place for place, split in enumerate(schemas.SPLITS)}
    return counted.collect().sort(pl.col("split").replace_strict(order, default=len(order), return_dtype=pl.Int32))


def num_shared(there: Path, here: Path) -> int:
    """Notes that both files hold: the same id and the same index time. Ids alone may be the same number by chance."""
    keys = ["note_id", "prediction_time"]
    first, second = (pl.read_parquet(path, columns=keys).unique() for path in (there, here))
    return len(first.join(second, on=keys, how="semi"))


def matched_train_size(elsewhere: Path) -> int:
    """Training notes of another hospital's file: as many of this one's does the control learn from (figures M10, M11).

    Which ones is the seeded choice of `prompts.read_examples`.
    """
    return int(pl.scan_parquet(elsewhere).filter(pl.col("split") == "train").select(pl.len()).collect().item())
