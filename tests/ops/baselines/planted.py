"""Labelled notes whose labels follow from a word of the note and, alike, from the kind of admission. Synthetic."""

import random
from datetime import timedelta
from pathlib import Path

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.baselines.structured import Tables
from lang1_assets.ops.tasks import TASKS
from tests.ops.baselines.hospital import NOW, stay, write_tables

SIZES = {"train": 300, "val": 120, "test": 60, "temporal_2024": 120}
SPLITS = ("test", "temporal_2024")
FILLER = ["patient", "denies", "pain", "stable", "home", "fever", "plan", "heart", "chronic", "daily"]


def planted(
    folder: Path, tasks: tuple[str, ...], *, word: str = "sepsis", is_random: bool = False
) -> tuple[dict[str, Path], Tables]:
    """Example files by task, and the tables."""
    folder.mkdir(exist_ok=True)
    rng = random.Random(5)
    files, stays = {}, []
    for task in tasks:
        rows = []
        for split, size in SIZES.items():
            for i in range(size):
                label = rng.randrange(TASKS[task].num_classes)
                shown = rng.randrange(TASKS[task].num_classes) if is_random else label
                name = f"{task}-{split}-{i}"
                # Nine in ten notes say it.
                said = shown if rng.random() < 0.9 else rng.randrange(TASKS[task].num_classes)
                stays.append(stay(f"E-{name}", f"P0-{name}", NOW - timedelta(hours=3), 2, f"kind {said}"))
                rows.append(
                    {
                        "note_id": f"N-{name}",
                        "encounter_id": f"E-{name}",
                        "subject_id": f"P0-{name}",
                        "prediction_time": NOW,
                        "split": split,
                        "label": label,
                        "age": rng.randrange(20, 90),
                        "sex": "F",
                        "race": "White",
                        "ethnicity": None,
                        "borough": "Queens",
                        "text": " ".join([*rng.choices(FILLER, k=12), f"{word}{said}"]),
                    }
                )
        types = {"label": pl.Int32, "age": pl.Int32, "prediction_time": pl.Datetime("us"), "ethnicity": pl.String}
        files[task] = folder / f"{task}.parquet"
        pl.DataFrame(rows).select(schemas.EXAMPLES.names).cast(types).write_parquet(files[task])
    return files, write_tables(folder / "tables", stays)
