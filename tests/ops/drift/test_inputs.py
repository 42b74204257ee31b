"""Months of the same kind are left in peace; longer notes, new words, other tokens and other scores are found."""

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.spatial.distance import jensenshannon

from lang1_assets.ops.drift.inputs import (
    SCORE_STABILITY,
    TESTED,
    TOKENS_PER_WORD,
    UNSEEN_WORDS,
    WORD_DISTANCE,
    WORDS_MEDIAN,
    score_row,
    share_beyond,
    text_rows,
    word_changes,
)
from lang1_assets.ops.drift.month import score_reference, text_reference
from lang1_assets.ops.drift.rows import DriftRow
from lang1_assets.ops.drift.scores import binned
from lang1_assets.ops.drift.words import counted
from tests.ops.drift.made import HEAD, HOW, count_tokens, notes, predictions


def rows_of(month: pl.DataFrame, reference: pl.DataFrame, how=HOW) -> dict[str, DriftRow]:
    known = text_reference(reference, count_tokens)
    found = text_rows(HEAD, counted(month, known.vocabulary, count_tokens), known.counts, how)
    return {row["statistic"]: row for row in found}


def test_values_are_those_of_the_texts() -> None:
    """Second implementation: plain counting, and scipy's distance over the words of both."""
    month, reference = notes(60, seed=1, vocabulary=70), notes(200, seed=2)
    rows = rows_of(month, reference)
    own, known = (Counter(" ".join(frame["text"]).split()) for frame in (month, reference))
    lengths = [len(text.split()) for text in month["text"]]
    assert rows[WORDS_MEDIAN]["value"] == sorted(lengths)[(len(lengths) - 1) // 2]
    assert rows["words_q25"]["value"] <= rows[WORDS_MEDIAN]["value"] <= rows["words_q75"]["value"]  # type: ignore[operator]
    assert rows[TOKENS_PER_WORD]["value"] == pytest.approx(count_tokens(month["text"]).sum() / sum(lengths))
    unseen = sum(count for word, count in own.items() if word not in known)
    assert unseen > 0
    assert rows[UNSEEN_WORDS]["value"] == pytest.approx(unseen / sum(own.values()))
    both = sorted(own | known)
    distance = jensenshannon([own[word] for word in both], [known[word] for word in both], base=2)
    assert rows[WORD_DISTANCE]["value"] == pytest.approx(distance)
    assert (rows["num_notes"]["value"], rows["num_patients"]["value"]) == (60, 30)


def test_nothing_in_common_is_as_far_as_it_goes() -> None:
    found = word_changes(np.array([[0.0, 0.0]]), np.array([5]), np.array([[2.0, 3.0]]))
    assert found[UNSEEN_WORDS][0] == 1.0
    assert found[WORD_DISTANCE][0] == pytest.approx(1.0)
    same = word_changes(np.array([[2.0, 3.0]]), np.array([0]), np.array([[20.0, 30.0]]))
    assert (same[UNSEEN_WORDS][0], same[WORD_DISTANCE][0]) == (0.0, pytest.approx(0.0, abs=1e-8))


def test_a_month_like_the_reference_lies_among_random_patients() -> None:
    rows = rows_of(notes(80, seed=3), notes(400, seed=4))
    for name in TESTED[:-1]:
        assert rows[name]["p_value"] > 0.01, name  # type: ignore[operator]
        assert rows[name]["reference_low"] <= rows[name]["reference"] <= rows[name]["reference_high"]  # type: ignore[operator]
    assert rows[WORD_DISTANCE]["low"] is None
    assert rows[UNSEEN_WORDS]["low"] <= rows[UNSEEN_WORDS]["value"] <= rows[UNSEEN_WORDS]["high"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("month", "changed"),
    [
        (notes(80, seed=3, words=55), {WORDS_MEDIAN}),
        (notes(80, seed=3, first=30), {UNSEEN_WORDS, WORD_DISTANCE}),
        (notes(80, seed=3).with_columns(pl.col("text").str.replace_all("a", "aa")), {TOKENS_PER_WORD}),
    ],
)
def test_a_change_lies_beyond_all_of_them(month: pl.DataFrame, changed: set[str]) -> None:
    rows = rows_of(month, notes(400, seed=4))
    beyond = {name for name in TESTED[:-1] if rows[name]["p_value"] == 1 / (HOW.num_resamples + 1)}
    assert changed <= beyond


def test_a_month_without_notes_and_a_reference_of_one_patient_say_so() -> None:
    rows = rows_of(notes(10).clear(), notes(100))
    assert rows["num_notes"]["value"] == 0
    assert rows[UNSEEN_WORDS]["left_out"] == "no notes"
    rows = rows_of(notes(10), notes(2))
    assert rows[WORD_DISTANCE]["left_out"] == "the reference has fewer than two patients"


def test_a_month_larger_than_the_reference_is_compared_with_half_of_it() -> None:
    rows = rows_of(notes(600, seed=3), notes(100, seed=4))
    assert rows[WORD_DISTANCE]["p_value"] > 0.01  # type: ignore[operator]


@pytest.mark.parametrize("task", ["readmission", "length_of_stay"])
def test_other_scores_are_found(task: str) -> None:
    reference = score_reference(predictions(400, task=task), HOW)
    same = score_row(HEAD, binned(predictions(100, seed=1, task=task), reference.edges), reference.scores, HOW)
    assert same["p_value"] > 0.01  # type: ignore[operator]
    other = predictions(100, seed=2, signal=6.0, task=task)
    row = score_row(HEAD, binned(other, reference.edges), reference.scores, HOW)
    assert row["statistic"] == SCORE_STABILITY
    assert row["p_value"] == 1 / (HOW.num_resamples + 1)
    assert row["value"] > row["reference_high"]  # type: ignore[operator]


def test_shares_beyond() -> None:
    drawn = np.array([-3.0, -1.0, 0.0, 2.0])
    assert share_beyond(2.0, drawn, two_sided=False) == 2 / 5
    assert share_beyond(-2.0, drawn, two_sided=True) == 3 / 5
    assert share_beyond(9.0, drawn, two_sided=True) == 1 / 5


def test_months_of_the_reference_s_own_kind_are_rarely_called_other() -> None:
    """The share of random months with a p-value of at most 5 % is about 5 %, for every number."""
    how = replace(HOW, num_resamples=60)
    everything = notes(1_200, seed=9)
    reference = text_reference(everything.head(800), count_tokens)
    found: dict[str, int] = dict.fromkeys(TESTED[:-1], 0)
    for number in range(20):
        month = everything.slice(800 + 20 * number, 20)
        for row in text_rows(HEAD, counted(month, reference.vocabulary, count_tokens), reference.counts, how):
            if row["statistic"] in found:
                found[row["statistic"]] += (row["p_value"] or 0) <= 0.05
    # Of 20 at 5 % each 6 or more are expected once in 3,000.
    assert max(found.values()) < 6, found
