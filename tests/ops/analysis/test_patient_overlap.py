"""The same model with and without the patients it has met."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from lang1_assets.ops.analysis.patient_overlap import EVERYBODY, NEW, SEEN, overlap_rows
from tests.ops.analysis.notes import HOW, scored


def first_half(examples):
    """Patients of the first half of the notes."""
    return set(examples.head(len(examples) // 2)["subject_id"])


def test_everybody_is_seen_or_new():
    predictions, examples = scored()
    seen = first_half(examples)
    rows, _ = overlap_rows(predictions, examples, "joint", seen, HOW)
    by_group = {row["group"]: row for row in rows}
    assert [row["group"] for row in rows] == [EVERYBODY, SEEN, NEW]
    assert by_group[SEEN]["n"] + by_group[NEW]["n"] == by_group[EVERYBODY]["n"] == 900
    assert by_group[SEEN]["num_patients"] + by_group[NEW]["num_patients"] == 450
    new = predictions.filter(~pl.col("subject_id").is_in(list(seen)))
    scores = np.array(new["probabilities"].to_list())[:, 1]
    assert by_group[NEW]["value"] == pytest.approx(roc_auc_score(new["label"].to_numpy(), scores))


def test_who_they_are_is_said():
    predictions, examples = scored()
    rows, flattery = overlap_rows(predictions, examples, "joint", first_half(examples), HOW)
    seen = examples.head(450)
    assert rows[1]["mean_age"] == pytest.approx(seen["age"].mean())
    assert rows[1]["share_not_white"] == pytest.approx(2 / 3)
    assert flattery["share_seen"] == 0.5


def test_whatever_a_source_calls_them_the_same_patients_are_white():
    predictions, examples = scored()
    spelled = {"White": "WHITE - RUSSIAN", "Asian": "ASIAN - CHINESE", "Black": "BLACK/AFRICAN AMERICAN"}
    respelled = examples.with_columns(pl.col("race").replace(spelled))
    first = overlap_rows(predictions, examples, "joint", first_half(examples), HOW)
    assert overlap_rows(predictions, respelled, "joint", first_half(examples), HOW) == first
    # The same notes, whether it is said that nobody knows or nothing is said.
    few = pl.int_range(900) % 7 == 0
    for nobody_knows in ("UNABLE TO OBTAIN", "Patient Refused"):
        unsaid, said = (
            examples.with_columns(race=pl.when(few).then(pl.lit(words)).otherwise("race"))
            for words in (None, nobody_knows)
        )
        expected, flattery = overlap_rows(predictions, unsaid, "joint", first_half(examples), HOW)
        assert overlap_rows(predictions, said, "joint", first_half(examples), HOW) == (expected, flattery)
        assert expected[0]["share_not_white"] == pytest.approx(2 / 3, abs=0.01)


def test_of_codes_nobody_here_knows_whom_they_mean():
    predictions, examples = scored()
    coded = examples.with_columns(race=pl.col("race").replace({"White": "1", "Asian": "2", "Black": "3"}))
    rows, flattery = overlap_rows(predictions, coded, "joint", first_half(examples), HOW)
    assert [row["share_not_white"] for row in rows] == [None, None, None]
    assert flattery["not_white"] == {"value": None, "low": None, "high": None}
    assert flattery["age"]["value"] is not None


def test_how_seen_patients_differ_has_an_interval():
    predictions, examples = scored()
    older = examples.with_columns(
        age=pl.when(pl.arange(0, 900) < 450).then(pl.col("age") + 20).otherwise(pl.col("age"))
    )
    rows, flattery = overlap_rows(predictions, older, "joint", first_half(older), HOW)
    by_group = {row["group"]: row for row in rows}
    for name, column in (("age", "mean_age"), ("not_white", "share_not_white")):
        found = flattery[name]
        assert found["value"] == pytest.approx(by_group[SEEN][column] - by_group[NEW][column])
        assert found["low"] < found["value"] < found["high"]
    assert flattery["age"]["low"] > 0
    assert flattery["not_white"]["low"] < 0 < flattery["not_white"]["high"]


def test_a_model_that_knows_its_patients_is_found_out():
    signal = np.where(np.arange(900) < 450, 6.0, 0.3)
    predictions, examples = scored(signal=signal)
    _, flattery = overlap_rows(predictions, examples, "joint", first_half(examples), HOW)
    assert flattery["value"] > 0.1
    assert flattery["low"] > 0


def test_a_model_that_knows_nobody_is_not():
    flattered = 0
    for seed in range(30):
        predictions, examples = scored(300, seed=seed)
        _, flattery = overlap_rows(predictions, examples, "joint", first_half(examples), HOW)
        flattered += flattery["low"] > 0
    assert flattered <= 4


def test_the_difference_is_that_of_the_two_values():
    predictions, examples = scored()
    rows, flattery = overlap_rows(predictions, examples, "joint", first_half(examples), HOW)
    assert flattery["value"] == pytest.approx(rows[0]["value"] - rows[2]["value"])
    assert flattery["low"] < flattery["value"] < flattery["high"]


@pytest.mark.parametrize("everybody", [True, False])
def test_nobody_or_everybody_seen(everybody):
    predictions, examples = scored()
    seen = set(examples["subject_id"]) if everybody else set()
    rows, flattery = overlap_rows(predictions, examples, "zero_shot", seen, HOW)
    empty = rows[2] if everybody else rows[1]
    assert (empty["n"], empty["value"], empty["mean_age"]) == (0, None, None)
    assert empty["left_out"] == "0 notes, fewer than 30"
    assert flattery["value"] == (None if everybody else 0.0)
    assert flattery["age"] == flattery["not_white"] == {"value": None, "low": None, "high": None}
