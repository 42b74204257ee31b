"""A phrase that states the outcome is found, and whether it tells the class."""

import polars as pl
import pytest

from tests.ops.leakage.cohort import PLANTED, POSITIVE, checks_of, failed, hospital, share, where


def test_a_phrase_that_tells_the_class() -> None:
    """In few notes, so that no model gains much: the phrase itself is the finding."""
    frame = hospital().with_columns(where(POSITIVE & share(0.06), "text", pl.col("text") + f" {PLANTED}"))
    checks = checks_of(frame)
    assert failed(checks) == {"no_outcome_phrase": "error"}
    (row,) = checks["no_outcome_phrase"].table
    assert (row["phrase_id"], row["num_in_rest"]) == ("patient_expired", 0)


def test_a_phrase_that_all_classes_share_is_a_question() -> None:
    frame = hospital("length_of_stay").with_columns(
        where(share(0.1), "text", pl.col("text") + ". Length of stay: 5 days")
    )
    assert failed(checks_of(frame, "length_of_stay")) == {"no_outcome_phrase": "warn"}


@pytest.mark.parametrize(("task", "words"), [("length_of_stay", "Length of stay: {}"), ("comorbidity", "CCI {}")])
def test_a_phrase_that_all_classes_share_with_another_number(task: str, words: str) -> None:
    stated = pl.format(". " + words, 2 * pl.col("label") + 1)
    frame = hospital(task).with_columns(where(share(0.3), "text", pl.col("text") + stated))
    found = failed(checks_of(frame, task))
    assert found["no_outcome_phrase"] == "error"
    assert set(found) <= {"no_outcome_phrase", "auroc_change_when_masked"}
