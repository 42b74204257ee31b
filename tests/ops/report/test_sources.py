"""From the stages' files to the parts of a report."""

import json

import polars as pl
import pytest

from lang1_assets.ops import metrics, schemas
from lang1_assets.ops.report import ReportError, cohort_counts, read_loss_curves, reject_counts, task_calibrations
from lang1_assets.ops.tasks import TASKS
from tests.ops.report.sample import sample_predictions


def test_a_calibration_curve_a_task():
    predictions, _ = sample_predictions(0.5, num_notes=150)
    curves = task_calibrations(predictions, model="m", trained_on=None)
    assert [curve.task for curve in curves] == list(TASKS)
    for curve in curves:
        num_classes = TASKS[curve.task].num_classes
        assert sum(point.count for point in curve.points) == 150 * (num_classes if num_classes > 2 else 1)
        assert (curve.ece_positive is None) == (num_classes > 2)
    group = predictions.filter((pl.col("task") == "mortality") & (pl.col("split") == "temporal_2024"))
    expected = metrics.top_class_ece(group["label"].to_numpy(), group["probabilities"].to_list())
    assert curves[1].ece_top_class == pytest.approx(expected)


def test_cohort_counts_keep_absent_labels_and_distinct_patients():
    frame = pl.DataFrame(
        {"split": ["train", "train", "train", "test"], "label": [0, 2, 2, 1], "subject_id": ["a", "a", "b", "c"]}
    )
    counts = {count.split: count for count in cohort_counts("comorbidity", frame)}
    assert tuple(counts) == schemas.SPLITS
    assert counts["train"].notes_by_label == (1, 0, 2, 0, 0)
    assert (counts["train"].num_patients, counts["train"].num_notes) == (2, 3)
    assert counts["val"].num_notes == counts["val"].num_patients == 0


def test_cohort_counts_of_the_splits_that_a_source_has():
    frame = pl.DataFrame({"split": ["train", "test"], "label": [0, 1], "subject_id": ["a", "b"]})
    counted = cohort_counts("mortality", frame, schemas.DEVELOPMENT_SPLITS)
    assert [(count.split, count.num_notes) for count in counted] == [("train", 1), ("val", 0), ("test", 1)]
    assert [count.num_notes for count in cohort_counts("mortality", frame.clear(), ("train", "test"))] == [0, 0]


def test_no_note_is_left_out_of_the_counts():
    frame = pl.DataFrame({"split": ["train", "temporal_2024"], "label": [0, 1], "subject_id": ["a", "b"]})
    with pytest.raises(
        ReportError, match=r"cohort of mortality: notes in split 'temporal_2024'; expected train, val, test"
    ):
        cohort_counts("mortality", frame, schemas.DEVELOPMENT_SPLITS)


def test_calibration_on_the_split_that_is_asked_for():
    predictions, _ = sample_predictions(0.5, num_notes=60)
    curves = task_calibrations(predictions.filter(pl.col("split") == "test"), model="m", trained_on=None, split="test")
    assert {curve.split for curve in curves} == {"test"}
    assert len(curves) == len(TASKS)
    assert task_calibrations(predictions, model="m", trained_on=None, split="val") == []


def test_rejects_are_counted_most_first():
    rejects = pl.DataFrame(
        {"source": ["notes", "claims", "notes"], "row_id": ["1", "2", "3"], "reason": ["short", "orphan", "short"]}
    )
    counted = [(r.source, r.reason, r.num_rows) for r in reject_counts(rejects)]
    assert counted == [("notes", "short", 2), ("claims", "orphan", 1)]


def test_loss_curves_of_a_resumed_run(tmp_path):
    lines = [
        {"step": step, "values": {"train/loss": 9.0 - step / 100, "train/tokens": step * 64}} for step in range(1, 501)
    ]
    lines.append({"step": 250, "values": {"val/loss/notes": 5.0, "val/perplexity/notes": 148.4}})
    lines.append({"step": 500, "values": {"train/loss": 1.5, "train/tokens": 500 * 64}})
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    train, notes = read_loss_curves(path)
    assert len(train.tokens) <= 200
    assert (train.tokens[-1], train.losses[-1]) == (500 * 64, 1.5)
    assert (notes.name, notes.tokens, notes.losses, notes.is_held_out) == ("notes", (250 * 64,), (5.0,), True)
    assert read_loss_curves(tmp_path / "none.jsonl") == []
