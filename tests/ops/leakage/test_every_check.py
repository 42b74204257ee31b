"""Every check passes on clean data and, with its leak planted, is the one that fails."""

import dataclasses
import json
from datetime import datetime

import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.leakage import LeakageError
from lang1_assets.ops.leakage.every_check import joined_timing
from lang1_assets.ops.tasks import TASKS
from tests.ops.leakage.cohort import (
    LIMITS,
    NO_CORPUS,
    PLANTED,
    POSITIVE,
    SIGNAL,
    WORDS,
    checks_of,
    failed,
    hospital,
    share,
    where,
)


@pytest.mark.parametrize("task", TASKS)
def test_clean_data_passes_every_check(task: str) -> None:
    checks = checks_of(hospital(task), task, corpus_hashes=NO_CORPUS, split_by="patient")
    assert failed(checks) == {}
    assert not [check.message for check in checks.values() if "cannot tell" in check.message]
    assert ("no_label_where_follow_up_is_censored" in checks) == (task == "readmission")
    assert checks["auroc_change_when_masked"].numbers["auroc"] > 0.5


def test_groups_too_small_cannot_be_judged() -> None:
    few = hospital().filter(pl.col("note_id").str.ends_with("01"))
    checks = checks_of(few)
    assert failed(checks) == {}
    judged = {name for name, check in checks.items() if not check.message.startswith("cannot tell")}
    assert judged == {
        "note_within_its_window",
        "note_not_after_index_time",
        "outcome_after_index_time",
        "no_outcome_phrase",
        "patient_overlap",
        "text_overlap",
    }


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("missing", schemas.SPLITS)
def test_a_missing_split_fails_no_check(task: str, missing: str) -> None:
    frame = hospital(task).filter(pl.col("split") != missing)
    checks = checks_of(frame, task, corpus_hashes=NO_CORPUS, split_by="patient")
    assert failed(checks) == {}
    unsure = {name for name, check in checks.items() if check.message.startswith("cannot tell")}
    modelled = {"auroc_change_when_masked", "metadata_alone", "shuffled_labels", "too_good"}
    expected = {"train": modelled, "test": modelled, "temporal_2024": {"corpus_overlap"}}
    assert unsure == expected.get(missing, set())


@pytest.mark.parametrize("split", ["train", "val", "test", "temporal_2024", None])
@pytest.mark.parametrize("task", ["mortality", "comorbidity"])
def test_one_class_in_a_split_or_in_all_fails_no_check(task: str, split: str | None) -> None:
    elsewhere = pl.lit(False) if split is None else pl.col("split") != split
    checks = checks_of(hospital(task).filter(elsewhere | (pl.col("label") == 0)), task, corpus_hashes=NO_CORPUS)
    assert failed(checks) == {}
    assert "NaN" not in json.dumps([dataclasses.asdict(check) for check in checks.values()])


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_that_only_training_or_only_the_test_lacks(split: str) -> None:
    frame = hospital("comorbidity").filter((pl.col("split") != split) | (pl.col("label") != 3))
    checks = checks_of(frame, "comorbidity", corpus_hashes=NO_CORPUS)
    assert failed(checks) == {}
    assert "NaN" not in json.dumps([dataclasses.asdict(check) for check in checks.values()])


def test_the_same_seed_gives_the_same_checks_in_any_order_of_rows() -> None:
    frame = hospital()
    limits = dataclasses.replace(LIMITS, max_train_notes=300, max_test_notes=120, max_compared_notes=90)
    one, other = (
        checks_of(frame, limits=limits),
        checks_of(frame.sample(fraction=1, shuffle=True, seed=9), limits=limits),
    )
    assert one == other
    assert one["metadata_alone"].numbers["num_train_notes"] == 300
    assert one["text_overlap"].numbers["num_compared_notes"] == 90


def test_what_is_told_holds_no_text_and_can_be_written_as_json() -> None:
    frame = hospital().with_columns(where(POSITIVE & share(0.5), "text", pl.col("text") + f" {PLANTED}"))
    told = json.dumps([dataclasses.asdict(check) for check in checks_of(frame, corpus_hashes=NO_CORPUS).values()])
    assert "NaN" not in told
    assert "expired on" not in told
    assert not [word for word in (*WORDS, SIGNAL) if word in told]


def test_timing_of_all_tasks_may_be_given() -> None:
    frame = hospital()
    timing = pl.concat(
        [
            frame.select(pl.lit(task).alias("task"), pl.exclude("task")).select(schemas.TIMING.names)
            for task in ("mortality", "length_of_stay")
        ]
    )
    joined = joined_timing(TASKS["mortality"], frame.select(schemas.EXAMPLES.names), timing)
    assert len(joined) == len(frame)


def test_frames_that_do_not_fit_are_refused_by_name() -> None:
    frame, task = hospital(), TASKS["mortality"]
    examples, timing = frame.select(schemas.EXAMPLES.names), frame.select(schemas.TIMING.names[1:])
    with pytest.raises(LeakageError, match=r"'mortality': 2 examples have no timing \(first: note_id n-test-0001\)"):
        joined_timing(task, examples, timing.filter(~pl.col("note_id").is_in(["n-test-0002", "n-test-0001"])))
    moved = timing.with_columns(
        where(pl.col("note_id") == "n-val-0001", "prediction_time", pl.lit(datetime(2020, 1, 1)))
    )
    with pytest.raises(LeakageError, match="1 examples have another prediction_time in timing"):
        joined_timing(task, examples, moved)
    with pytest.raises(LeakageError, match="timing hold note_id n-train-0000 more than once"):
        joined_timing(task, examples, pl.concat([timing, timing.head(1)]))
    with pytest.raises(
        LeakageError, match=r"timing lack column\(s\) author_id, outcome_time|outcome_time, .*author_id"
    ):
        joined_timing(task, examples, timing.drop("author_id", "outcome_time"))
    with pytest.raises(LeakageError, match="no examples"):
        joined_timing(task, examples.clear(), timing)
