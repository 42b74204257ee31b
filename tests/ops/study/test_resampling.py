"""Sums of AUROCs against the paired bootstrap of two models, and against resampling note by note."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from lang1_assets.ops.comparison import bootstrap_test, on, paired
from lang1_assets.ops.study.cells import Cell
from lang1_assets.ops.study.resampling import StudyError, Term, distribution
from tests.ops.study.planted import BAD, GOOD, cell

TEST = ("readmission", "temporal_2024")


class Estimate(NamedTuple):
    value: float
    low: float
    high: float
    n: int


def measured(terms: list[Term], level: float = 0.95) -> Estimate:
    found = distribution(terms, num_resamples=200, seed=11)
    return Estimate(found.value, *found.bounds((1 - level) / 2, (1 - level) / 2), found.n)


def term(weight: float, held: Cell, task: str = TEST[0], split: str = TEST[1]) -> Term:
    return Term(weight=weight, cell=held, task=task, split=split)


def rewritten(held: Cell, change: pl.Expr | None = None, keep: pl.Expr | None = None) -> Cell:
    frame = pl.read_parquet(held.predictions)
    frame = frame if keep is None else frame.filter(keep)
    frame = frame if change is None else frame.with_columns(change)
    path = held.predictions.with_name("rewritten.parquet")
    frame.write_parquet(path)
    return Cell(**{**vars(held), "predictions": path})


@pytest.mark.parametrize("task", ["readmission", "length_of_stay"])
def test_a_difference_is_that_of_the_paired_bootstrap(task: str, tmp_path: Path) -> None:
    first, second = cell(tmp_path, "a/joint", BAD), cell(tmp_path, "b/joint", GOOD)
    both = paired(*(on(pl.read_parquet(held.predictions), task, TEST[1]) for held in (first, second)))
    expected = bootstrap_test(both.labels, both.first, both.second, num_resamples=200, seed=11, clusters=both.patients)
    found = measured([term(1, second, task), term(-1, first, task)])
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_several_tests_are_resampled_by_the_same_patients(tmp_path: Path) -> None:
    """A slow second implementation: draw patients, gather their notes of both tests, measure each with scikit-learn."""
    held = cell(tmp_path, "a/joint", {"readmission": BAD, "mortality": GOOD}, num_notes=120)
    tasks = ("readmission", "mortality")
    frames = [on(pl.read_parquet(held.predictions), task, TEST[1]) for task in tasks]
    patients = sorted({f"here/{patient}" for frame in frames for patient in frame["subject_id"]})
    generator = np.random.default_rng(11)
    sums = []
    for _ in range(200):
        drawn = np.array(patients)[generator.integers(0, len(patients), len(patients))]
        aurocs = []
        for frame in frames:
            notes = pl.DataFrame({"patient": drawn}).join(
                frame.with_columns(patient=pl.format("here/{}", "subject_id")), on="patient"
            )
            aurocs.append(roc_auc_score(notes["label"], notes["probabilities"].list.get(1)))
        sums.append(0.5 * aurocs[0] + 0.5 * aurocs[1])
    found = measured([term(0.5, held, task) for task in tasks], level=0.9)
    assert (found.low, found.high) == tuple(pytest.approx(bound) for bound in np.quantile(sums, [0.05, 0.95]))


def test_a_higher_level_is_a_wider_interval(tmp_path: Path) -> None:
    terms = [term(1, cell(tmp_path, "a/joint", GOOD)), term(-1, cell(tmp_path, "b/joint", BAD))]
    narrow, wide = measured(terms, 0.95), measured(terms, 0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_a_number_of_a_patient_there_is_another_person(tmp_path: Path) -> None:
    here, there = cell(tmp_path, "a/joint", GOOD), cell(tmp_path, "there:a/joint", GOOD)
    found = measured([term(1, here), term(-1, there)])
    alone = measured([term(1, here)])
    # Independent errors add: resampled as one person they might cancel.
    assert found.high - found.low > 1.1 * (alone.high - alone.low)


def test_only_notes_that_all_scored_count(tmp_path: Path) -> None:
    first, second = cell(tmp_path, "a/joint", BAD), cell(tmp_path, "b/joint", GOOD)
    few = rewritten(second, keep=pl.col("note_id").str.contains(r"[0-4]$"))
    assert measured([term(1, few), term(-1, first)]).n == 200


def test_other_labels_are_an_error_that_names_the_evaluation(tmp_path: Path) -> None:
    first, second = cell(tmp_path, "a/joint", BAD), cell(tmp_path, "b/joint", GOOD)
    flipped = rewritten(
        second, change=(1 - pl.col("label")).alias("label").cast(pl.Int32), keep=pl.col("task") == TEST[0]
    )
    with pytest.raises(
        StudyError, match=r"joint_evaluation/b and joint_evaluation/a saw other labels .* evaluate again"
    ):
        measured([term(1, first), term(-1, flipped)])


def test_a_task_that_was_not_scored_is_named(tmp_path: Path) -> None:
    held = cell(tmp_path, "a/joint", {"mortality": GOOD})
    with pytest.raises(StudyError, match="joint_evaluation/a: no note of readmission"):
        measured([term(1, held)])


def test_too_few_events_are_no_number(tmp_path: Path) -> None:
    held = cell(tmp_path, "a/joint", GOOD)
    rare = rewritten(held, keep=(pl.col("label") == 0) | pl.col("note_id").str.contains(r"-[0-7]$"))
    with pytest.raises(StudyError, match=r"events in .* notes that all models scored"):
        measured([term(1, rare)])
