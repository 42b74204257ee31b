"""One month of one task: every number once, whatever is known of its reference."""

import polars as pl
import pytest

from lang1_assets.ops.drift.month import month_rows, score_reference, text_reference
from lang1_assets.ops.drift.rows import INPUTS, PERFORMANCE, frame
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.results import labels_and_probabilities
from tests.ops.drift.made import HEAD, HOW, count_tokens, notes, predictions

SCORES = score_reference(predictions(300, seed=1), HOW)
TEXTS = text_reference(notes(200, seed=1), count_tokens)


def month(scored=None, scores=SCORES, texts=TEXTS, **more):
    held = predictions(100, seed=2) if scored is None else scored
    return month_rows(HEAD, held, notes(100, seed=2), scores, texts, HOW, count_tokens, **more)


def test_every_number_is_there_once() -> None:
    names = [row["statistic"] for row in month()]
    assert len(names) == len(set(names))
    assert set(names) == {*PERFORMANCE, *INPUTS, "prevalence_0", "prevalence_1"}
    table = frame(month())
    assert table.filter(statistic="auroc")["p_value"].is_not_null().all()


@pytest.mark.parametrize(("scores", "texts"), [(None, TEXTS), (SCORES, None), (None, None)])
def test_without_a_reference_there_is_what_needs_none(scores, texts) -> None:
    found = {row["statistic"]: row for row in month(scores=scores, texts=texts)}
    assert found["auroc"]["value"] is not None
    assert (found["auroc"]["reference"] is None) == (scores is None)
    assert ("score_stability" in found) == (scores is not None)
    assert ("unseen_words" in found) == (texts is not None)


def test_a_task_that_was_not_scored_has_its_notes_and_the_reason() -> None:
    found = {row["statistic"]: row for row in month(predictions(100).clear(), not_scored="one class only")}
    assert found["auroc"]["left_out"] == "one class only"
    assert found["words_median"]["value"] is not None
    assert "score_stability" not in found


def test_equal_notes_have_equal_intervals_of_their_own() -> None:
    """The month is resampled with another seed than the reference: equal samples would otherwise never differ."""
    found = {row["statistic"]: row for row in month(predictions(300, seed=1))}
    assert found["auroc"]["value"] == found["auroc"]["reference"]
    assert found["auroc"]["standard_error"] > 0
    assert (found["auroc"]["low"], found["auroc"]["high"]) != (
        found["auroc"]["reference_low"],
        found["auroc"]["reference_high"],
    )


def test_a_month_without_one_of_the_classes_is_compared_with_notes_of_those_that_it_has() -> None:
    """Of the reference, the notes of the class that is missing in the month are by far the easiest to rank."""
    head = {**HEAD, "task": "length_of_stay"}
    known = predictions(600, task="length_of_stay", signal=1.0, seed=1)
    missing = int(known["label"].max())
    easy = [0.0] * missing + [1.0]
    known = known.with_columns(
        probabilities=pl.when(label=missing)
        .then(pl.lit(easy, known.schema["probabilities"]))
        .otherwise("probabilities")
    )
    reference = score_reference(known, HOW)
    month = predictions(300, task="length_of_stay", signal=1.0, seed=2).filter(pl.col("label") != missing)
    rows = month_rows(head, month, notes(100, seed=2), reference, None, HOW, count_tokens)
    (row,) = (row for row in rows if row["statistic"] == "auroc")
    alike = known.filter(pl.col("label") != missing)
    assert row["reference"] == pytest.approx(auroc(*labels_and_probabilities(alike)).value)
    assert row["reference"] < reference.performance.values["auroc"] - 0.03
    assert row["p_value"] > 0.01
    whole = reference.beside(known)
    assert whole is reference.performance
