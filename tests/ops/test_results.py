"""Rows of `results.json` from predictions, and the file itself."""

import json
import math

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from lang1_assets.ops import results, schemas
from lang1_assets.ops.results import ResultsError, distance_closed, find_row, result_rows
from lang1_assets.ops.tasks import TASKS


def predictions(task: str = "readmission", split: str = "test", n: int = 120, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    k = TASKS[task].num_classes
    probabilities = rng.dirichlet(np.ones(k), n)
    labels = [int(rng.choice(k, p=row)) for row in probabilities]
    return pl.DataFrame(
        {
            "note_id": [f"{task}-{split}-{i}" for i in range(n)],
            "subject_id": [f"s{i // 2}" for i in range(n)],
            "task": task,
            "split": split,
            "label": np.array(labels, dtype=np.int32),
            "probabilities": probabilities.tolist(),
        }
    ).select(schemas.PREDICTIONS.names)


def rows_of(frame: pl.DataFrame, oracle: pl.DataFrame | None = None) -> list[results.ResultRow]:
    return result_rows(frame, model="m", mode="finetuned", trained_on="joint", oracle=oracle, num_resamples=30, seed=1)


def auroc_row(rows, task="readmission", split="test"):
    row = find_row(rows, model="m", trained_on="joint", task=task, split=split)
    assert row is not None
    return row


def test_a_row_for_every_metric_task_and_split():
    frame = pl.concat([predictions(task, split) for task in TASKS for split in ("test", "temporal_2024")])
    rows = rows_of(frame)
    keys = [(row["task"], row["split"], row["metric"]) for row in rows]
    of_two_classes = {"ece_positive", "calibration_intercept", "calibration_in_the_large"}
    of_two_classes |= {"net_benefit_5", "net_benefit_10", "net_benefit_20"}
    of_several = {f"auroc_class_{k}" for k in range(5)} | {"auroc_micro"}
    expected = {
        task.name: set(results.METRICS) - (of_several if task.num_classes == 2 else of_two_classes)
        for task in TASKS.values()
    }
    expected["length_of_stay"] -= {"auroc_class_4"}
    for task in TASKS:
        assert {row["metric"] for row in rows if row["task"] == task} == expected[task]
    assert len(keys) == len(set(keys)) == 2 * sum(map(len, expected.values()))


def test_auroc_with_its_interval():
    frame = predictions()
    row = auroc_row(rows_of(frame))
    scores = [p[1] for p in frame["probabilities"].to_list()]
    assert row["value"] == pytest.approx(roc_auc_score(frame["label"].to_numpy(), scores))
    assert row["low"] < row["value"] < row["high"]
    assert row["standard_deviation"] > 0
    assert row["n"] == 120


def test_each_class_has_its_auroc_with_its_interval():
    frame = predictions("comorbidity", n=400)
    rows = {row["metric"]: row for row in rows_of(frame, oracle=frame.select("note_id", "task", "probabilities"))}
    of_classes = [rows[f"auroc_class_{k}"] for k in range(5)]
    probabilities = np.array(frame["probabilities"].to_list())
    for k, row in enumerate(of_classes):
        expected = roc_auc_score(frame["label"].to_numpy() == k, probabilities[:, k])
        assert row["value"] == row["oracle"] == pytest.approx(expected)
        assert row["low"] < row["value"] < row["high"]
        assert row["high_by_patient"] > row["low_by_patient"]
    assert rows["auroc"]["value"] == pytest.approx(np.mean([row["value"] for row in of_classes]))


def test_a_class_that_nobody_has_has_no_auroc():
    rows = {row["metric"]: row for row in rows_of(predictions("comorbidity").filter(pl.col("label") < 4))}
    absent = rows["auroc_class_4"]
    assert absent["value"] is absent["low"] is absent["standard_deviation"] is None
    assert absent["resamples_left_out"] == 30
    assert rows["auroc_class_3"]["value"] is not None


def test_every_metric_has_an_interval_by_note_and_by_patient():
    """Each patient has two notes with the same label and nearly the same probabilities: half as much is known."""
    alone = predictions(n=150)
    twice = pl.concat(
        [alone.with_columns(pl.col("note_id") + f"-{copy}", subject_id=pl.col("note_id")) for copy in ("a", "b")]
    )
    rows = result_rows(twice, model="m", mode="zero_shot", trained_on=None, num_resamples=300, seed=1)
    for row in rows:
        assert row["low"] < row["high"], row["metric"]
        wider = (row["high_by_patient"] - row["low_by_patient"]) / (row["high"] - row["low"])
        assert wider == pytest.approx(2**0.5, rel=0.2), row["metric"]


def test_a_patient_with_one_note_each_has_one_interval():
    for row in rows_of(predictions().unique("subject_id", keep="first", maintain_order=True)):
        assert (row["low"], row["high"]) == (row["low_by_patient"], row["high_by_patient"])


def test_oracle_is_scored_on_the_same_notes():
    frame = predictions()
    shuffled = frame.select("note_id", "task", "probabilities").sample(fraction=1, shuffle=True, seed=3)
    others = pl.DataFrame({"note_id": ["other"], "task": ["readmission"], "probabilities": [[0.5, 0.5]]})
    rows = rows_of(frame, oracle=pl.concat([shuffled, others]))
    for row in rows:
        assert row["oracle"] == pytest.approx(row["value"])
        assert row["oracle_n"] == row["n"]


def test_oracle_that_knows_some_notes_says_how_many():
    frame = predictions()
    row = auroc_row(rows_of(frame, oracle=frame.select("note_id", "task", "probabilities").head(80)))
    assert (row["oracle_n"], row["n"]) == (80, 120)


def test_oracle_of_another_task_is_no_oracle():
    oracle = predictions("mortality").select("note_id", "task", "probabilities")
    row = auroc_row(rows_of(predictions(), oracle=oracle))
    assert row["oracle"] is None
    assert row["oracle_n"] == 0


def test_a_note_twice_in_the_oracle_is_refused():
    oracle = predictions().select("note_id", "task", "probabilities")
    with pytest.raises(ResultsError, match="readmission-test-0 is there more than once"):
        rows_of(predictions(), oracle=pl.concat([oracle, oracle.head(1)]))


def test_absent_class_is_named_by_its_option():
    frame = predictions("comorbidity").filter(pl.col("label") < 4)
    row = auroc_row(rows_of(frame), task="comorbidity")
    assert row["classes_absent"] == ["score more than 7"]
    assert row["value"] is not None


def test_one_class_only_is_null_not_nan(tmp_path):
    rows = rows_of(predictions().filter(pl.col("label") == 0))
    row = auroc_row(rows)
    assert row["value"] is row["low"] is row["high"] is None
    assert row["resamples_left_out"] == 30
    results.write_results(tmp_path / "results.json", rows)
    assert "NaN" not in (tmp_path / "results.json").read_text()


def test_wrong_number_of_probabilities_names_the_note():
    frame = predictions("comorbidity").with_columns(task=pl.lit("length_of_stay"))
    with pytest.raises(ResultsError, match=r"note comorbidity-test-0 has 5 probabilities, expected 4"):
        rows_of(frame)


def test_file_comes_back_as_it_was_written(tmp_path):
    rows = rows_of(predictions())
    path = tmp_path / "results.json"
    results.write_results(path, rows)
    assert results.read_results(path) == rows
    assert set(json.loads(path.read_text())) == {"rows"}
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        results.write_results(tmp_path / "results.json", [{"value": math.nan}])
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(("content", "says"), [("{", "line 1"), ("[]", "expected"), ('{"rows": 3}', "expected")])
def test_a_broken_file_is_refused(tmp_path, content, says):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ResultsError, match=says):
        results.read_results(path)
    with pytest.raises(ResultsError, match="materialize the report first"):
        results.read_results(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("value", "oracle", "closed"),
    [(0.74, 0.8, 0.8), (0.5, 0.9, 0.0), (None, 0.9, None), (0.7, None, None), (0.7, 0.5, None)],
)
def test_distance_closed(value, oracle, closed):
    found = distance_closed({"value": value, "oracle": oracle})
    assert found == (pytest.approx(closed) if closed is not None else None)


def test_terminal_table_shows_what_is_there():
    rows = rows_of(predictions(split="temporal_2024"))
    text = results.results_table(rows)
    row = auroc_row(rows, split="temporal_2024")
    assert f"{row['value']:.3f} ({row['low']:.3f} - {row['high']:.3f})" in text
    assert "30-day readmission" in text
    assert "m: AUROC on temporal_2024" in text


def test_terminal_table_is_about_the_latest_test_and_the_tasks_there_are():
    rows = rows_of(pl.concat([predictions("readmission", "test"), predictions("mortality", "test")]))
    text = results.results_table(rows)
    assert "m: AUROC on test" in text
    assert [task.title for task in TASKS.values() if task.title in text] == [
        "30-day readmission",
        "In-hospital mortality",
    ]
    later = rows_of(predictions(split="temporal_2021"))
    assert "AUROC on temporal_2021" in results.results_table([*later, *rows])
    assert "AUROC on test" in results.results_table([*later, *rows], "test")
    assert results.results_table([]) == ""


def test_terminal_table_names_what_is_switched_off():
    off = {"comorbidity": "no ICD codes", "mortality": "no H&P notes", "length_of_stay": "no H&P notes"}
    lines = results.results_table(rows_of(predictions()), switched_off=off).splitlines()
    assert lines[-2:] == [
        "Switched off: In-hospital mortality, Length of stay (no H&P notes).",
        "Switched off: Charlson comorbidity index (no ICD codes).",
    ]
    assert lines[-3] == ""


def test_switched_off_tasks_lie_beside_the_rows(tmp_path):
    rows = rows_of(predictions())
    path = tmp_path / "results.json"
    results.write_results(path, rows, {"mortality": "no H&P notes"})
    assert results.read_results(path) == rows
    assert results.read_switched_off(path) == {"mortality": "no H&P notes"}
    results.write_results(path, rows, {})
    assert results.read_switched_off(path) == {}
    assert set(json.loads(path.read_text())) == {"rows"}
