"""Calibration of models that mean what they say, that are too sure, and that cannot be told."""

from pathlib import Path

import numpy as np
import pytest

from lang1_assets.ops.metrics import top_class_ece
from lang1_assets.ops.study import calibration
from lang1_assets.ops.study.calibration import errors_of_perfect
from lang1_assets.ops.study.cells import Cell
from lang1_assets.ops.study.evidence import judge
from tests.ops.study.planted import cell, rows, studied

(QUESTION,) = calibration.QUESTIONS
MODES = ("joint", "readmission")


def calibrated(folder: Path, sharpness: float, deviation: float = 0.005, mode: str = "joint") -> Cell:
    """Model of readmission whose labels follow its probabilities; those are then made `sharpness` times as extreme."""
    import polars as pl

    held = cell(folder, f"ours/{mode}", {"readmission": 1.0}, num_notes=4_000)
    rng = np.random.default_rng(3)
    frame = pl.read_parquet(held.predictions).filter(split="temporal_2024")
    odds = rng.normal(size=len(frame))
    truth, said = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-sharpness * odds))
    frame = frame.with_columns(
        label=pl.Series((rng.random(len(frame)) < truth).astype(np.int32)),
        probabilities=pl.Series(np.column_stack([1 - said, said]).tolist()),
    )
    frame.write_parquet(held.predictions)
    found = [{**row, "standard_deviation": deviation} for row in rows(frame)]
    return Cell(**{**vars(held), "rows": found})


@pytest.mark.parametrize(
    ("sharpness", "deviation", "verdict"),
    [(1.0, 0.005, "holds"), (4.0, 0.005, "does not hold"), (1.0, 0.05, "cannot tell")],
)
def test_the_claim(sharpness: float, deviation: float, verdict: str, tmp_path: Path) -> None:
    held = studied(tmp_path, {})
    held = type(held)(**{**vars(held), "cells": [calibrated(tmp_path, sharpness, deviation, mode) for mode in MODES]})
    judged = judge(QUESTION, held, "calibration")
    assert judged.verdict == verdict, judged.numbers


@pytest.mark.parametrize("there", MODES)
def test_both_halves_are_needed(there: str, tmp_path: Path) -> None:
    """The paper shows single-task and joint models: of one kind alone the finding is not judged."""
    held = studied(tmp_path, {})
    held = type(held)(**{**vars(held), "cells": [calibrated(tmp_path, 1.0, mode=there)]})
    judged = judge(QUESTION, held, "calibration")
    assert judged.verdict == "cannot tell", judged.numbers
    (missing,) = {*MODES} - {there}
    assert f"{missing}_evaluation/ours" in judged.numbers


def test_without_the_joint_model_it_cannot_be_told(tmp_path: Path) -> None:
    judged = judge(QUESTION, studied(tmp_path, {}), "calibration")
    assert judged.verdict == "cannot tell"
    assert "joint_evaluation/ours" in judged.numbers


@pytest.mark.parametrize("num_classes", [2, 4])
def test_errors_of_a_perfect_model_are_those_of_drawn_labels(num_classes: int) -> None:
    """A slow second implementation: draw a class for each note, and measure with the metric itself."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.ones(num_classes), 300)
    slow = []
    for _ in range(400):
        labels = (rng.random((300, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
        slow.append(top_class_ece(labels, probabilities))
    fast = errors_of_perfect(probabilities, 400, seed=6)
    assert fast.mean() == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / 20)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.2)


def test_curves_say_both_errors(tmp_path: Path) -> None:
    held = studied(tmp_path, {"ours/joint": 1.0, "ours/mortality": 1.5})
    (figure,) = calibration.figures(held)
    both = {point.series for point in figure.points if point.panel == "In-hospital mortality"}
    assert both == {"single", "joint"}
    assert all(point.note.startswith("ECE of the top class 0.") for point in figure.points)
    assert sum(point.n or 0 for point in figure.points if point.panel == "30-day readmission") == 400
