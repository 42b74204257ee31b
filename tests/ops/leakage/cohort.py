"""A synthetic cohort without any leak, and short ways to plant one and to ask what was found."""

import random
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.leakage import LeakCheck, LeakLimits, leak_checks
from lang1_assets.ops.tasks import TASKS

SEED = 3407
LIMITS = LeakLimits(
    hp_max_hours_before_admission=48,
    hp_max_hours_after_admission=24,
    discharge_note_max_hours_after_discharge=24,
    readmission_days=30,
    num_permutations=15,
    max_permuted_notes=300,
)
SIZES = {"train": 800, "val": 150, "test": 300, "temporal_2021": 100, "temporal_2024": 150}
WORDS = [f"{stem}{ending}" for stem in ("card", "nephr", "pulm", "derm", "neur", "gastr") for ending in range(25)]
SIGNAL = "frailty"
"""A word that makes the positive class likelier, as honest notes do."""
PLANTED = "Patient expired on 3/4."


def example_rows(task: str, rng: random.Random) -> list[dict[str, Any]]:
    names = [(split, number) for split, size in SIZES.items() for number in range(size)]
    return [example_row(task, split, number, rng) for split, number in names]


def example_row(task: str, split: str, number: int, rng: random.Random) -> dict[str, Any]:
    name = f"{split}-{number:04d}"
    num_classes = TASKS[task].num_classes
    label = rng.choices(range(num_classes), [5, *([2] * (num_classes - 1))])[0]
    words = rng.choices(WORDS, k=rng.randint(20, 60))
    if rng.random() < 0.2 + 0.6 * (label == 1):
        words.insert(rng.randrange(20), SIGNAL)
    start = datetime(2019, 1, 1) + timedelta(hours=rng.uniform(0, 24 * 365))
    written = start + timedelta(hours=rng.uniform(-24, 20))
    end = start + timedelta(hours=rng.uniform(30, 300))
    is_hp = TASKS[task].note_type == "hp"
    if not is_hp:
        written = end + timedelta(hours=rng.uniform(-8, 6))
    return {
        "note_id": f"n-{name}",
        "encounter_id": f"e-{name}",
        "subject_id": f"s-{name}",
        "prediction_time": written if is_hp else end,
        "split": split,
        "label": label,
        "age": 60,
        "sex": "F",
        "race": "White",
        "ethnicity": "not Hispanic",
        "borough": "Queens",
        "text": " ".join(words),
        "written_time": written,
        "admit_time": start,
        "discharge_time": end,
        "outcome_time": (end if is_hp else end + timedelta(days=rng.uniform(1, 29))),
        "follow_up_end": datetime(2021, 1, 1),
        "num_characters": rng.randint(200, 6000),
        "department": rng.choice(["Medicine", "Surgery", None]),
        "author_id": f"a{rng.randrange(150)}",
    }


def hospital(task: str = "mortality", seed: int = 1) -> pl.DataFrame:
    """Rows of `schemas.EXAMPLES` and `schemas.TIMING` side by side, without any leak."""
    return pl.DataFrame(example_rows(task, random.Random(seed)), infer_schema_length=None).cast({"label": pl.Int32})


def checks_of(
    frame: pl.DataFrame, task: str = "mortality", limits: LeakLimits = LIMITS, **arguments: Any
) -> dict[str, LeakCheck]:
    columns = [name for name in schemas.TIMING.names if name != "task"]
    checks = leak_checks(
        TASKS[task],
        frame.select(schemas.EXAMPLES.names),
        frame.select(columns),
        limits,
        **{"split_by": "note", "seed": SEED, **arguments},
    )
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def failed(checks: dict[str, LeakCheck]) -> dict[str, str]:
    return {name: check.severity for name, check in checks.items() if not check.passed}


def where(condition: pl.Expr, column: str, value: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(value).otherwise(pl.col(column)).alias(column)


def share(of: float) -> pl.Expr:
    """True for about this share of the rows, whatever their class."""
    return (pl.col("note_id").hash(7) % 1000) < 1000 * of


POSITIVE = pl.col("label") == 1
NO_CORPUS = pl.DataFrame({"note_id": ["elsewhere"], "text_hash": ["0" * 32]})
