"""Hashes know a text again; near-duplicates are those of the slow definition."""

import random

import numpy as np
import polars as pl

from lang1_assets.ops.leakage.hashes import minhashes, near_duplicates, text_hashes
from tests.ops.leakage.cohort import WORDS, hospital


def jaccard(left: str, right: str) -> float:
    def shingles(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    return len(shingles(left) & shingles(right)) / len(shingles(left) | shingles(right))


def test_near_duplicates_are_those_of_the_slow_definition() -> None:
    rng = random.Random(5)
    against = [" ".join(rng.choices(WORDS, k=200)) for _ in range(300)]
    texts, similarities = [], []
    for text in against:
        words = text.split()
        for position in rng.sample(range(200), k=rng.choice([0, 1, 3, 6, 30])):
            words[position] = "changed"
        texts.append(" ".join(words))
        similarities.append(jaccard(text, texts[-1]))
    found = near_duplicates(pl.Series(texts), pl.Series(against))
    exact = np.array(similarities)
    # The estimate from 60 hashes has a standard error of about 0.05.
    assert found[exact >= 0.93].mean() > 0.98
    assert not found[exact < 0.6].any()
    assert (exact >= 0.93).sum() > 80
    assert (exact < 0.6).sum() > 40
    signatures = minhashes(pl.Series(texts)) == minhashes(pl.Series(against))
    np.testing.assert_allclose(signatures.mean(axis=1), exact, atol=0.28)
    assert abs((signatures.mean(axis=1) - exact).mean()) < 0.02


def test_texts_without_five_words_or_without_any_have_no_near_duplicate() -> None:
    short = pl.Series(["", "one two three", None, "one two three four five"])
    assert near_duplicates(short, short).tolist() == [False, False, False, True]
    assert near_duplicates(short, short.clear()).tolist() == [False] * 4
    assert near_duplicates(short.clear(), short).tolist() == []


def test_minhashes_do_not_depend_on_the_chunks() -> None:
    texts = hospital()["text"].head(50)
    np.testing.assert_array_equal(minhashes(texts, chunk_size=7), minhashes(texts))


def test_hashes_are_stable_and_blind_to_layout() -> None:
    hashes = text_hashes(pl.Series(["Chest pain, 2 days", "chest  pain 2 DAYS.", None]))
    assert hashes[0] == hashes[1] != hashes[2]
    # Written down once: a corpus hashed today is compared with tests of another day.
    assert text_hashes(pl.Series(["chest pain"]))[0] == "e45af16edaca7c71897d8a2546fbf6ee"
