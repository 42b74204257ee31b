"""Every note is in one group of each attribute, a group that a model fails is found, and none where it fails nobody."""

import math

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.analysis.strata import ALL, ATTRIBUTES, NOT_RECORDED, strata_rows
from tests.ops.analysis.notes import HOW, scored


def rows_of(predictions, examples, years=20):
    return strata_rows(predictions, examples, "joint", years, HOW)


def test_each_note_is_in_one_group_of_each_attribute():
    rows = rows_of(*scored())
    assert (rows[0]["attribute"], rows[0]["group"], rows[0]["n"]) == (ALL, ALL, 900)
    for attribute in ATTRIBUTES:
        own = [row for row in rows if row["attribute"] == attribute]
        assert sum(row["n"] for row in own) == 900, attribute
        assert sum(row["num_events"] for row in own) == rows[0]["num_events"], attribute
    assert {(row["mode"], row["task"], row["split"]) for row in rows} == {("joint", "readmission", "temporal_2024")}


def test_ages_are_cut_into_bands_and_children():
    predictions, examples = scored()
    rows = rows_of(predictions, examples, years=30)
    bands = {row["group"]: row["n"] for row in rows if row["attribute"] == "age_band"}
    assert list(bands) == ["0 - 29", "30 - 59", "60 - 89"]
    assert bands["30 - 59"] == examples.filter(pl.col("age").is_between(30, 59)).height
    sides = {row["group"]: row["n"] for row in rows if row["attribute"] == "child_or_adult"}
    assert sides == {"adult": 720, "child": examples.filter(pl.col("age") < 18).height}


def test_bands_are_in_the_order_of_age():
    predictions, examples = scored()
    older = examples.with_columns(age=pl.col("age") + 15)
    bands = [row["group"] for row in rows_of(predictions, older, 5) if row["attribute"] == "age_band"]
    assert bands[0] == "15 - 19"
    assert bands[-1] == "100 - 104"


def test_what_is_not_recorded_is_a_group_that_is_named_when_left_out():
    rows = rows_of(*scored())
    row = next(row for row in rows if row["group"] == NOT_RECORDED)
    assert (row["attribute"], row["n"], row["value"]) == ("ethnicity", 1, None)
    assert row["left_out"] == "1 notes, fewer than 30"


def test_words_that_say_nothing_are_not_recorded_and_no_groups():
    predictions, examples = scored()
    words = pl.Series(
        [None, "UNKNOWN/NOT SPECIFIED", "PATIENT DECLINED TO ANSWER", "", "Unknown", "WHITE - RUSSIAN"] * 150
    )
    rows = rows_of(
        predictions, examples.with_columns(words.alias(name) for name in ("sex", "race", "ethnicity", "borough"))
    )
    for attribute in ("sex", "race", "ethnicity", "borough"):
        groups = {row["group"]: row["n"] for row in rows if row["attribute"] == attribute}
        assert groups == {NOT_RECORDED: 750, "WHITE - RUSSIAN": 150}


def test_a_group_that_the_model_fails_is_found():
    predictions, examples = scored(seed=3)
    of_bronx = set(examples.filter(borough="Bronx")["note_id"])
    # The model says nothing about the notes of the Bronx.
    flat = predictions.with_columns(
        probabilities=pl.when(pl.col("note_id").is_in(list(of_bronx)))
        .then(pl.concat_list(pl.lit(0.7), pl.lit(0.3)))
        .otherwise(pl.col("probabilities"))
    )
    worse = [row for row in rows_of(flat, examples) if row["is_worse"]]
    assert ("borough", "Bronx") in {(row["attribute"], row["group"]) for row in worse}
    assert next(row for row in worse if row["group"] == "Bronx")["value"] == pytest.approx(0.5)


def test_where_nobody_is_failed_warnings_are_rare():
    warned = 0
    for seed in range(30):
        rows = rows_of(*scored(300, seed=seed))
        warned += any(row["is_worse"] for row in rows if row["attribute"] == "borough")
    assert warned <= 5


def test_the_correction_counts_the_groups_that_were_tested():
    rows = [row for row in rows_of(*scored()) if row["attribute"] == "race"]
    assert len([row for row in rows if row["p_worse"] is not None]) == 3
    for row in rows:
        assert row["is_worse"] == (row["p_worse"] * 3 < 0.05)
        assert not math.isnan(row["p_worse"])


def test_several_classes_and_one_class_groups():
    predictions, examples = scored(task="length_of_stay", signal=np.linspace(0, 3, 900))
    one_class = examples.with_columns(
        label=pl.when(pl.col("sex") == "F").then(0).otherwise(pl.col("label")).cast(pl.Int32)
    )
    labels = one_class.select("note_id", "label")
    relabeled = predictions.drop("label").join(labels, on="note_id", maintain_order="left").select(predictions.columns)
    rows = rows_of(relabeled, one_class)
    row = next(row for row in rows if row["group"] == "F")
    assert (row["left_out"], row["value"]) == ("one class only", None)
    assert next(row for row in rows if row["group"] == "M")["value"] > 0.6
