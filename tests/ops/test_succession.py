"""Is a candidate better than the model in service: found when it is, not when it is not, and shared among candidates."""

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.succession import MINIMUM_COMMON_NOTES, Challenge, challenge

SPLIT = "temporal_2024"
TASKS = {"mortality": 2, "length_of_stay": 4}


def predictions(
    skill: float, seed: int, num: int = 300, tasks: dict[str, int] = TASKS, noise: float = 1.0
) -> pl.DataFrame:
    """Notes of `num` / 2 patients for each task; labels are the same for every seed."""
    frames = []
    for task, num_classes in tasks.items():
        labels = np.random.default_rng(len(task)).integers(0, num_classes, num)
        scores = np.random.default_rng(seed).normal(size=(num, num_classes)) * noise
        scores[np.arange(num), labels] += skill
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        frames.append(
            pl.DataFrame(
                {
                    "note_id": [f"{task}-{i}" for i in range(num)],
                    "subject_id": [f"P{i // 2}" for i in range(num)],
                    "task": task,
                    "split": SPLIT,
                    "label": labels.astype(np.int32),
                    "probabilities": probabilities.tolist(),
                }
            ).select(schemas.PREDICTIONS.names)
        )
    return pl.concat(frames)


def against(first: pl.DataFrame, second: pl.DataFrame, num_candidates: int = 1) -> Challenge:
    return challenge(first, second, SPLIT, num_candidates=num_candidates, num_resamples=400, seed=3)


@pytest.mark.parametrize(("skill", "better", "worse"), [(2.0, True, False), (0.0, False, True), (1.0, False, False)])
def test_better_worse_and_undecided(skill: float, better: bool, worse: bool) -> None:
    found = against(predictions(1.0, seed=1), predictions(skill, seed=2))
    assert (found.is_better, found.is_worse) == (better, worse)
    assert {row.task for row in found.tasks} == set(TASKS)
    assert all(row.num_notes == 300 for row in found.tasks)


def test_the_mean_is_that_of_the_tasks() -> None:
    first, second = predictions(1.0, seed=1), predictions(1.3, seed=2)
    found = against(first, second)
    assert found.mean is not None
    each = []
    for frame in (first, second):
        parts = [frame.filter(task=task) for task in TASKS]
        each.append(
            np.mean(
                [auroc(part["label"].to_numpy(), np.array(part["probabilities"].to_list())).value for part in parts]
            )
        )
    assert (found.mean.first, found.mean.second) == pytest.approx(each)
    assert found.mean.value == pytest.approx(np.mean([row.auroc.value for row in found.tasks if row.auroc]))
    assert found.mean.low < found.mean.value < found.mean.high


def test_patients_are_drawn_once_for_all_of_their_notes() -> None:
    # The same note under two tasks: a second task that tells nothing new makes nothing surer.
    one = {"mortality": 2}
    first, second = predictions(1.0, 1, tasks=one), predictions(1.2, 2, tasks=one)
    twice = [pl.concat([frame, frame.with_columns(task=pl.lit("insurance_denial"))]) for frame in (first, second)]
    alone, both = against(first, second).mean, against(*twice).mean
    assert alone is not None
    assert both is not None
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high))


def test_candidates_share_the_level() -> None:
    first, second = predictions(1.0, seed=1), predictions(1.3, seed=2)
    alone, among_ten = against(first, second).mean, against(first, second, num_candidates=10).mean
    assert alone is not None
    assert among_ten is not None
    assert among_ten.low < alone.low < alone.high < among_ten.high


def test_the_same_model_is_neither() -> None:
    found = against(predictions(1.0, seed=1), predictions(1.0, seed=1))
    assert not found.is_better
    assert not found.is_worse
    assert found.mean is not None
    assert found.mean.value == 0


def test_what_cannot_be_compared_is_named() -> None:
    first, second = predictions(1.0, seed=1), predictions(1.5, seed=2)
    flipped = second.with_columns(
        label=pl.when(pl.col("task") == "mortality").then(1 - pl.col("label")).otherwise("label")
    )
    found = against(first, flipped)
    problems = {row.task: row.problem for row in found.tasks}
    assert problems == {"mortality": "scored on other labels than there are now", "length_of_stay": None}
    assert found.mean is not None
    few = against(first.group_by("task").head(MINIMUM_COMMON_NOTES - 1), second)
    assert few.mean is None
    assert not few.is_better
    assert all("29 notes in common" in str(row.problem) for row in few.tasks)
    other_split = against(first, second.with_columns(split=pl.lit("test")))
    assert (other_split.tasks, other_split.mean) == ([], None)
