"""Conditional probabilities of two tasks' labels, counted by hand."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.analysis.label_dependence import dependence_rows


def labels(pairs: list[tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"encounter_id": pl.String, "label": pl.Int32}, orient="row")


DIED = labels([("a", 1), ("b", 1), ("c", 0), ("d", 0), ("e", 0), ("x", 1)])
STAYED = labels([("a", 0), ("b", 3), ("c", 0), ("d", 0), ("e", 2), ("y", 1), ("z", 1)])


def value(rows, condition, outcome):
    return next(row for row in rows if (row["condition"], row["outcome"]) == (condition, outcome))


def test_counted_by_hand():
    rows, matching = dependence_rows(DIED, STAYED)
    assert value(rows, "died", "0 to 2 days")["value"] == 0.5
    assert value(rows, "died", "more than 5 days")["value"] == 0.5
    assert value(rows, "survived", "0 to 2 days")["value"] == pytest.approx(2 / 3)
    assert value(rows, "0 to 2 days", "died")["value"] == pytest.approx(1 / 3)
    assert value(rows, "more than 5 days", "died")["value"] == 1.0
    assert matching == {"num_stays": 5, "only_mortality": 1, "only_length_of_stay": 2}


def test_a_condition_that_nobody_meets_has_no_probability():
    rows, _ = dependence_rows(DIED, STAYED)
    row = value(rows, "3 days", "died")
    assert (row["n"], row["value"], row["low"], row["high"]) == (0, None, None, None)


def test_a_stay_of_several_notes_counts_once():
    rows, _ = dependence_rows(pl.concat([DIED, DIED]), pl.concat([STAYED, STAYED.head(3)]))
    assert rows == dependence_rows(DIED, STAYED)[0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40))
def test_probabilities_of_a_condition_sum_to_one_and_lie_in_their_intervals(pairs):
    died = labels([(str(i), pair[0]) for i, pair in enumerate(pairs)])
    stayed = labels([(str(i), pair[1]) for i, pair in enumerate(pairs)])
    rows, matching = dependence_rows(died, stayed)
    assert matching["num_stays"] == len(pairs)
    for condition in ("died", "survived"):
        own = [row for row in rows if row["condition"] == condition]
        assert sum(row["count"] for row in own) == own[0]["n"]
        assert own[0]["n"] == 0 or sum(row["value"] for row in own) == pytest.approx(1)
    for row in rows:
        assert row["value"] is None or row["low"] - 1e-12 <= row["value"] <= row["high"] + 1e-12
