"""Counts of notes are those that a plain loop gives; drawn patients are whole and as many as asked for."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.drift import words
from lang1_assets.ops.drift.words import counted, random_patients, some_patients, vocabulary_of, weighted_quantiles
from tests.ops.drift.made import count_tokens, notes


def letters(text: str) -> list[str]:
    """Second implementation: letter by letter."""
    return "".join(letter.lower() if letter.isalpha() else " " for letter in text).split()


TEXTS = st.lists(st.tuples(st.sampled_from("xyz"), st.text("aB1é -", max_size=12)), min_size=1, max_size=8)


@given(TEXTS, TEXTS)
def test_counts_are_those_of_a_plain_loop(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> None:
    reference, month = (
        pl.DataFrame(rows, schema={"subject_id": pl.String, "text": pl.String}, orient="row")
        for rows in (first, second)
    )
    vocabulary = vocabulary_of(reference)
    known = {word for _, text in first for word in letters(text)}
    assert set(vocabulary["word"]) == known
    found = counted(month, vocabulary, count_tokens)
    names = vocabulary.sort("place")["word"].to_list()
    for place, patient in enumerate(sorted({name for name, _ in second})):
        own = Counter(word for name, text in second if name == patient for word in letters(text))
        row = found.words.toarray()[place]
        assert {name: count for name, count in zip(names, row, strict=True) if count} == {
            word: count for word, count in own.items() if word in known
        }
        assert found.unknown[place] == sum(count for word, count in own.items() if word not in known)
    assert found.num_words.tolist() == [len(text.split()) for _, text in second]
    assert found.num_tokens.tolist() == count_tokens([text for _, text in second]).tolist()
    assert found.notes_of_patient.tolist() == [
        sum(name == patient for name, _ in second) for patient in sorted({name for name, _ in second})
    ]


def test_notes_some_at_a_time_are_counted_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    held = notes(50)
    vocabulary = vocabulary_of(held)
    at_once = counted(held, vocabulary, count_tokens)
    monkeypatch.setattr(words, "NOTES_AT_ONCE", 7)
    assert vocabulary_of(held).equals(vocabulary)
    assert (counted(held, vocabulary, count_tokens).words != at_once.words).nnz == 0


def test_no_notes_are_counted_as_none() -> None:
    held = notes(10)
    found = counted(held.clear(), vocabulary_of(held), count_tokens)
    assert (found.num_notes, found.num_patients) == (0, 0)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.integers(1, 40), st.integers(1, 4), st.integers(0, 100))
def test_drawn_patients_have_as_many_notes_as_asked_for(
    sizes: list[int], num_notes: int, at_once: int, seed: int
) -> None:
    of_patient = np.array(sizes)
    blocks = list(random_patients(of_patient, num_notes, 9, seed, at_once))
    drawn = np.concatenate(blocks)
    assert drawn.shape == (9, len(sizes))
    assert all(len(block) <= at_once for block in blocks)
    wanted = min(num_notes, of_patient.sum() // 2)
    for row in drawn:
        taken = of_patient[row].sum()
        assert row.sum() == 1 or taken <= wanted
        # Another patient would have been too many, if any were left.
        assert row.all() or taken + of_patient[~row].max() > wanted


def test_every_patient_is_drawn_as_often() -> None:
    drawn = np.concatenate(list(random_patients(np.ones(20, dtype=np.int64), 5, 4_000, 3, 1_000)))
    assert drawn.mean(axis=0) == pytest.approx(np.full(20, 0.25), abs=0.03)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=12).filter(
        lambda pairs: any(weight for _, weight in pairs)
    )
)
def test_a_weighted_quantile_is_that_of_the_notes_laid_in_a_row(pairs: list[tuple[int, int]]) -> None:
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    found = weighted_quantiles(values, weights[None, :].astype(float), (0.25, 0.5, 0.75))[0]
    laid = np.repeat(values, weights)
    assert found.tolist() == np.quantile(laid, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()


def test_some_patients_are_whole_and_always_the_same() -> None:
    held = notes(100)
    chosen = some_patients(held.lazy(), 30, seed=7)
    assert 30 <= len(chosen) <= 31
    assert chosen.group_by("subject_id").len()["len"].unique().to_list() == [2]
    assert (
        some_patients(held.sample(fraction=1.0, shuffle=True, seed=1).lazy(), 30, seed=7)
        .sort("subject_id", "text")
        .equals(chosen.sort("subject_id", "text"))
    )
    assert set(some_patients(held.lazy(), 30, seed=8)["subject_id"]) != set(chosen["subject_id"])
    assert len(some_patients(held.lazy(), 1_000, seed=7)) == 100
