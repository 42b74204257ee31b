"""Each model check passes on clean data and finds the leak planted for it."""

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.leakage.models import bag_of_words, linear_model, metadata_alone, shuffled_labels
from lang1_assets.ops.tasks import TASKS
from tests.ops.leakage.cohort import LIMITS, PLANTED, POSITIVE, SEED, checks_of, failed, hospital, share, where


def test_masking_costs_a_model_that_reads_the_phrase() -> None:
    frame = hospital().with_columns(where(POSITIVE & share(0.6), "text", pl.col("text") + f" {PLANTED}"))
    checks = checks_of(frame)
    assert failed(checks) == {"no_outcome_phrase": "error", "auroc_change_when_masked": "error"}
    numbers = checks["auroc_change_when_masked"].numbers
    assert numbers["auroc"] - numbers["auroc_masked"] == pytest.approx(numbers["cost"])
    assert numbers["cost_low"] > 0.1


@pytest.mark.parametrize("column", ["num_characters", "author_id", "department"])
def test_a_label_that_metadata_give_away(column: str) -> None:
    value = pl.lit(7000) if column == "num_characters" else pl.lit("hospice")
    most = hospital().with_columns(where(POSITIVE & share(0.7), column, value))
    assert failed(checks_of(most)) == {"metadata_alone": "warn"}
    every = hospital().with_columns(where(POSITIVE, column, value))
    assert failed(checks_of(every)) == {"metadata_alone": "error", "too_good": "warn"}


def test_the_hour_of_writing_counts_as_metadata() -> None:
    noon = pl.col("admit_time").dt.truncate("1d") + pl.duration(hours=12)
    frame = hospital().with_columns(where(POSITIVE, "written_time", noon))
    check = metadata_alone(TASKS["mortality"], frame, LIMITS, SEED)
    assert (check.passed, check.severity) == (False, "error")


@pytest.mark.parametrize("task", ["mortality", "comorbidity"])
def test_test_labels_that_reach_training_show_with_permuted_labels(task: str) -> None:
    words = bag_of_words(TASKS[task], hospital(task), LIMITS, SEED)
    assert not isinstance(words, str)
    assert shuffled_labels(words, LIMITS, SEED).passed

    def peeking(_counts: Any, labels: Any, num_classes: int) -> Any:
        generator = np.random.default_rng(int(labels[:20].sum()))
        noisy = np.where(generator.random(len(words.test_labels)) < 0.3, 0, words.test_labels)
        return linear_model(words.test, noisy, num_classes)

    check = shuffled_labels(words, LIMITS, SEED, fit=peeking)
    assert (check.passed, check.severity) == (False, "error")


def test_a_rare_class_does_not_give_permuted_labels_a_direction() -> None:
    """Long and short notes, 4 % positive: a model whose intercept lags behind is far from 0.5 here."""
    frame = hospital().filter((pl.col("label") == 0) | share(0.1))
    limits = dataclasses.replace(LIMITS, num_permutations=60, max_permuted_notes=1_000)
    words = bag_of_words(TASKS["mortality"], frame, limits, SEED)
    check = shuffled_labels(words, limits, SEED)
    assert check.passed
    assert abs(check.numbers["auroc"] - 0.5) < 0.06


def test_an_auroc_too_good_to_be_true() -> None:
    assert failed(checks_of(hospital(), aurocs={"lang1-1b (temporal_2024)": 0.985})) == {"too_good": "warn"}
    assert failed(checks_of(hospital(), aurocs={"lang1-1b (temporal_2024)": 0.94})) == {}


def test_a_word_that_is_no_known_phrase_but_gives_all_away_is_too_good() -> None:
    frame = hospital().with_columns(where(POSITIVE, "text", pl.col("text") + " zzyzx"))
    assert failed(checks_of(frame)) == {"too_good": "warn"}


def test_a_test_split_of_one_class_cannot_be_judged() -> None:
    frame = hospital().filter((pl.col("split") != "test") | (pl.col("label") == 0))
    checks = checks_of(frame)
    assert failed(checks) == {}
    assert "split 'test' has" in checks["metadata_alone"].message


def test_texts_without_a_word_do_not_stop_the_checks() -> None:
    checks = checks_of(hospital().with_columns(text=pl.lit("")))
    assert failed(checks) == {"text_overlap": "warn"}
    assert checks["shuffled_labels"].message == "cannot tell: no training note holds a word"
