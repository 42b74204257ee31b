"""Phrases are found, read for their number and masked; the rest of a note stays as it was."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.leakage.outcome_phrases import OutcomePhrase
from lang1_assets.ops.leakage.phrase_search import MASK, mask_phrases, phrase_hits, phrase_numbers
from tests.ops.leakage.test_outcome_phrases import BY_ID, ORDINARY_NOTES


def test_a_column_a_phrase_and_a_row_a_text() -> None:
    texts = pl.Series(["Time of death 4:12", "well", "Patient expired. Time of death 5:01", "well", None])
    hits = phrase_hits(texts, "mortality")
    assert hits["time_of_death"].to_list() == [True, False, True, False, False]
    assert hits["patient_expired"].to_list() == [False, False, True, False, False]


def test_the_number_that_a_phrase_states() -> None:
    texts = pl.Series(["BP 120. Length of stay: 12 days, bed 4", "LOS 3", None, "well"])
    numbers = phrase_numbers(texts, "length_of_stay")
    assert numbers["length_of_stay_days"].to_list() == [12, None, None, None]
    assert numbers["los_days"].to_list() == [None, 3, None, None]
    assert mask_phrases(texts, "length_of_stay")[0] == f"BP 120 {MASK}  days, bed 4"
    charlson = phrase_numbers(pl.Series(["Charlson Comorbidity Index (CCI) = 11"]), "comorbidity")
    assert charlson["charlson_score"].to_list() == [11]


@BY_ID
def test_a_masked_text_holds_no_phrase_and_keeps_the_rest(phrase: OutcomePhrase) -> None:
    texts = pl.Series("text", [f"Seen today. {example}. Stable, sinus rhythm." for example in phrase.examples])
    masked = mask_phrases(texts, phrase.task)
    assert masked.str.contains(MASK, literal=True).all()
    assert masked.str.contains("Seen today", literal=True).all()
    assert masked.str.contains("sinus rhythm", literal=True).all()
    assert not any(hit.any() for hit in phrase_hits(masked, phrase.task))


def test_a_date_that_follows_is_masked_with_its_phrase() -> None:
    texts = pl.Series("", ["Patient expired on 3/4/2019 at 04:12. Father alive", "Time of death: 5:01, March 4, 80 kg"])
    assert mask_phrases(texts, "mortality").to_list() == [f" {MASK} . Father alive", f" {MASK} , 80 kg"]


@given(st.lists(st.sampled_from([*ORDINARY_NOTES, "Discharge disposition: Expired", "Patient died", ""]), max_size=4))
def test_masking_twice_changes_nothing_and_clean_texts_stay_as_they_are(pieces: list[str]) -> None:
    text = pl.Series("text", [" ".join(pieces), None], dtype=pl.String)
    once = mask_phrases(text, "mortality")
    assert mask_phrases(once, "mortality").equals(once, null_equal=True)
    if not any("Expired" in piece or "died" in piece for piece in pieces if piece not in ORDINARY_NOTES):
        assert once.equals(text, null_equal=True)
