"""The folder for the harness, read: called by its task files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from datasets import Dataset

FEW_SHOT_SUFFIX = ".shown"
TOKENIZER_FOLDER = "tokenizer"


def read_data(folder: Path, name: str) -> dict[str, Dataset]:
    """The notes or questions of a task: `test`, and `train` where there are notes to show as examples.

    Read here and not by `datasets`, which would leave a copy of the notes in a cache that everyone on the machine shares, and
    would want the folder to stay where it was written.
    """
    files = {"test": folder / f"{name}.parquet", "train": folder / f"{name}{FEW_SHOT_SUFFIX}.parquet"}
    return {split: read_split(path) for split, path in files.items() if path.exists()}


def read_split(path: Path) -> Dataset:
    """Everything but the token ids, which would be copied into each request, and whose note it is, which concerns no harness."""
    return Dataset.from_polars(pl.read_parquet(path).drop("ids", "subject_id", strict=False))


def read_ids(folder: Path, name: str) -> dict[str, pl.Series]:
    """note_id -> the first token ids of each note that is tested or shown."""
    frames = [pl.read_parquet(folder / f"{file}.parquet") for file in (name, name + FEW_SHOT_SUFFIX)]
    both = pl.concat([frame.select("note_id", "ids") for frame in frames])
    return dict(zip(both["note_id"], both["ids"], strict=True))
