from typing import Any

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.bootstrap import auroc_distribution
from lang1_assets.ops.leaderboard import HEADER, MINIMUM_COMMON_NOTES, NOTHING, Evaluated, cells, leaderboard
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.results import result_rows
from lang1_assets.ops.served.chat import sampled
from lang1_assets.ops.served.model import Sampling

SPLIT = "temporal_2024"
NUM_RESAMPLES, SEED = 300, 5


def predictions(skill: float, size: int, *, task: str = "mortality", first: int = 0, seed: int = 1) -> pl.DataFrame:
    """Notes `first` to `first + size`; each patient has two. The labels are the same for every model."""
    truth = np.random.default_rng(0).random(2000) < 0.3
    labels = truth[first : first + size].astype(int)
    logits = skill * (2 * labels - 1) + np.random.default_rng(seed).standard_normal(size)
    positive = 1 / (1 + np.exp(-logits))
    return pl.DataFrame(
        {
            "note_id": [f"n{number}" for number in range(first, first + size)],
            "subject_id": [f"s{number // 2}" for number in range(first, first + size)],
            "task": task,
            "split": SPLIT,
            "label": labels.astype(np.int32),
            "probabilities": np.column_stack([1 - positive, positive]).tolist(),
        },
    ).select(schemas.PREDICTIONS.names)


def evaluated(model: str, frame: pl.DataFrame, **fields: Any) -> Evaluated:
    rows = result_rows(frame, model=model, mode="zero_shot", trained_on=None, num_resamples=NUM_RESAMPLES, seed=SEED)
    return Evaluated(model=model, mode="zero_shot", kind="folder", predictions=frame, rows=rows, **fields)


def board(*models: Evaluated) -> dict[str, Any]:
    return {entry["model"]: entry for entry in leaderboard(models, SPLIT, NUM_RESAMPLES, SEED)}


def test_models_are_in_the_order_of_their_auroc_and_compared_on_the_same_notes() -> None:
    good, poor = predictions(1.0, 600), predictions(0.3, 400, first=300, seed=2)
    found = board(evaluated("poor", poor), evaluated("good", good))
    assert list(found) == ["good", "poor"]
    assert (found["good"]["best"], found["good"]["below_best"], found["good"]["common"]) == ("good, zero_shot", None, 0)
    common_good, common_poor = good[300:], poor[:300]
    assert found["poor"]["common"] == 300
    labels = common_good["label"].to_numpy()
    first, second = (np.array(frame["probabilities"].to_list()) for frame in (common_poor, common_good))
    expected = auroc(labels, second).value - auroc(labels, first).value
    assert found["poor"]["below_best"] == pytest.approx(expected)
    patients = pl.Series([f"s{number // 2}" for number in range(300, 600)]).rank("dense").to_numpy()
    drawn = [
        auroc_distribution(labels, model, num_resamples=NUM_RESAMPLES, seed=SEED, clusters=patients)
        for model in (first, second)
    ]
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    assert (found["poor"]["below_best_low"], found["poor"]["below_best_high"]) == pytest.approx((low, high))
    assert found["poor"]["p_value"] < 0.05


def test_ten_samples_cost_some_of_the_auroc_and_a_sampled_model_has_no_more_than_that() -> None:
    frame = predictions(1.0, 1500)
    asked = {"task": "mortality", "split": SPLIT, "num_notes": 1510, "not_scored": {"too_long": 10}, "num_rescued": 0}
    ten = {"num_samples": 10, "temperature": 1.0, "max_examples": 1000}
    answers = [{**asked, "num_answers": 15000, "num_invalid": 300, "abilities": {"sampled": ten}}]
    found = board(evaluated("logits", frame), evaluated("chat", frame, answers=answers))
    plain, chat = found["logits"], found["chat"]
    assert plain["auroc"] - 0.1 < plain["auroc_sampled"] < plain["auroc"] - 0.01
    assert (plain["is_sampled"], plain["invalid_share"], plain["num_not_scored"]) == (False, None, 0)
    assert (chat["is_sampled"], chat["invalid_share"], chat["num_not_scored"]) == (True, 0.02, 10)
    assert chat["auroc_sampled"] == chat["auroc"]


def test_few_notes_make_no_model_the_best() -> None:
    lucky = predictions(3.0, 40, seed=3)
    found = board(
        evaluated("good", predictions(0.8, 600)), evaluated("lucky", lucky), evaluated("poor", predictions(0.2, 600))
    )
    assert list(found) == ["lucky", "good", "poor"]
    assert {entry["best"] for entry in found.values()} == {"good, zero_shot"}
    assert found["lucky"]["below_best"] < 0
    assert (found["lucky"]["common"], found["poor"]["common"]) == (40, 600)


def test_too_few_notes_in_common_are_not_compared() -> None:
    few = predictions(0.2, 100, first=600 - MINIMUM_COMMON_NOTES + 1, seed=3)
    entry = board(evaluated("good", predictions(1.0, 600)), evaluated("other", few))["other"]
    assert (entry["common"], entry["below_best"], entry["p_value"]) == (MINIMUM_COMMON_NOTES - 1, None, None)


def test_each_task_has_a_best_of_its_own_and_a_model_without_a_task_no_entry_there() -> None:
    first = evaluated("first", predictions(1.0, 300))
    both = pl.concat([predictions(0.5, 300, seed=4), predictions(0.5, 300, task="insurance_denial", seed=5)])
    entries = leaderboard([first, evaluated("second", both)], SPLIT, NUM_RESAMPLES, SEED)
    assert [(entry["task"], entry["model"]) for entry in entries] == [
        ("mortality", "first"),
        ("mortality", "second"),
        ("insurance_denial", "second"),
    ]
    assert entries[2]["best"] == "second, zero_shot"


def test_p_values_are_adjusted_for_all_models_that_are_compared_with_the_best_of_a_task() -> None:
    """Holm by hand: the smallest of three times three, the next at least that and times two, and so on."""
    few = predictions(0.2, 100, first=1000, seed=9)
    skills = {"good": (1.0, 1), "fair": (0.85, 2), "poor": (0.75, 3), "close": (0.95, 4)}
    models = [evaluated(name, predictions(skill, 400, seed=seed)) for name, (skill, seed) in skills.items()]
    found = board(*models, evaluated("elsewhere", few))
    assert (found["good"]["p_adjusted"], found["elsewhere"]["p_adjusted"]) == (None, None)
    tested = sorted((entry for entry in found.values() if entry["p_value"] is not None), key=lambda e: e["p_value"])
    assert len(tested) == 3
    largest = 0.0
    for entry, times in zip(tested, (3, 2, 1), strict=True):
        largest = max(largest, min(1.0, times * entry["p_value"]))
        assert entry["p_adjusted"] == pytest.approx(largest)
    smallest = tested[0]
    assert cells(smallest)[HEADER.index("p (Holm)")] == f"{3 * smallest['p_value']:.3f}"
    # What an earlier version wrote says nothing of this.
    earlier: Any = {key: value for key, value in smallest.items() if key != "p_adjusted"}
    assert cells(earlier)[HEADER.index("p (Holm)")] == NOTHING


def test_another_split_is_not_looked_at() -> None:
    assert leaderboard([evaluated("one", predictions(1.0, 100))], "test", NUM_RESAMPLES, SEED) == []


def test_comorbidity_is_compared_as_it_is_asked_greedily() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 5, 900)
    logits = 1.5 * np.eye(5)[labels] + rng.standard_normal((900, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = predictions(0.0, 900, task="comorbidity").with_columns(
        label=pl.Series(labels, dtype=pl.Int32), probabilities=pl.Series(probabilities.tolist())
    )
    entry = board(evaluated("logits", frame))["logits"]
    greedy = auroc(labels, np.eye(5)[probabilities.argmax(axis=1)]).value
    assert entry["auroc_sampled"] == greedy < entry["auroc"] - 0.03
    chat = [
        {"task": "comorbidity", "split": SPLIT, "num_notes": 9, "not_scored": {}, "num_rescued": 0, "num_answers": 27}
    ]
    chat[0] |= {"num_invalid": 0, "abilities": {"sampled": {"num_samples": 3, "temperature": 1.0, "max_examples": 9}}}
    beside = board(evaluated("logits", frame), evaluated("chat", frame[:9], answers=chat))["logits"]
    labels_of, drawn = (
        frame["label"].to_numpy(),
        sampled(probabilities, Sampling(**chat[0]["abilities"]["sampled"]), SEED),
    )
    assert beside["auroc_sampled"] == pytest.approx(auroc(labels_of, drawn).value)
