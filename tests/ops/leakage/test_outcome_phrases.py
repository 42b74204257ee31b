"""Every phrase finds its examples and leaves its counterexamples alone."""

import polars as pl
import pytest

from lang1_assets.ops.leakage.outcome_phrases import OUTCOME_PHRASES, OutcomePhrase, phrases_of
from lang1_assets.ops.leakage.phrase_search import phrase_hits
from lang1_assets.ops.tasks import TASKS

BY_ID = pytest.mark.parametrize("phrase", OUTCOME_PHRASES, ids=lambda phrase: phrase.phrase_id)

ORDINARY_NOTES = [
    "CC: 70 year old man with chest pain. Patient denies fever. Denied chest pain on admission. Plan: admit, serial exams.",
    "Family history: father deceased at 60 of a stroke, mother died of cancer, brother passed away on 3/4/2009.",
    "Medications: expired prescriptions were discarded. Lungs: expiratory wheeze. Appears well, appetite good.",
    "Prior readmission last spring. Return to the ED if symptoms recur. Readmission risk is high.",
    "Expected length of stay: 2 midnights. Expected discharge date: 3/4. Will be discharged on antibiotics.",
    "Insurance: Commercial PPO insurance; authorization approved; medical necessity met on review. In denial about drinking.",
    "PMH: diabetes, COPD, prior stroke, CKD stage 3. Estimated GFR 40. 10-year risk 12 %.",
]


@BY_ID
def test_examples_are_found_alone_and_in_the_middle_of_a_note_in_any_case(phrase: OutcomePhrase) -> None:
    for example in phrase.examples:
        variants = pl.Series([example, f"Seen today. {example}", f"{example} and more. Plan as above."])
        assert phrase_hits(variants, phrase.task)[phrase.phrase_id].all(), example
    if "(?-i:" not in phrase.pattern:
        upper = pl.Series([example.upper() for example in phrase.examples])
        assert phrase_hits(upper, phrase.task)[phrase.phrase_id].all()


@BY_ID
def test_counterexamples_are_left_alone_by_every_phrase_of_the_task(phrase: OutcomePhrase) -> None:
    for text in phrase.counterexamples:
        assert not phrase_hits(pl.Series([text]), phrase.task).transpose().to_series().any(), text


@pytest.mark.parametrize("task", TASKS)
def test_ordinary_notes_hold_no_phrase(task: str) -> None:
    assert not any(hit.any() for hit in phrase_hits(pl.Series(ORDINARY_NOTES), task))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_phrases_with_ids_of_their_own(task: str) -> None:
    ids = [phrase.phrase_id for phrase in phrases_of(task)]
    assert ids
    assert len(set(ids)) == len(ids)
    assert all(phrase.examples and phrase.counterexamples for phrase in phrases_of(task))
