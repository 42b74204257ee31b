from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops import near_duplicates
from lang1_assets.ops.near_duplicates import SHINGLE_WORDS, duplicates_of

START = datetime(2015, 1, 1)
Note = tuple[str | None, int | None, str]
"""Person, day of writing, text."""


def frame(notes: list[Note]) -> pl.DataFrame:
    rows = [
        (f"N{number}", person, None if day is None else START + timedelta(days=day), text)
        for number, (person, day, text) in enumerate(notes)
    ]
    schema = {"note_id": pl.String, "subject_id": pl.String, "written_time": pl.Datetime("us"), "text": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def shingles_of(text: str) -> frozenset[tuple[str, ...]]:
    words = text.split(" ")
    return frozenset(tuple(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1)))


def one_by_one(notes: pl.DataFrame, least: float | None) -> dict[str, tuple[str, str, float]]:
    """Every note after the other, compared with each earlier text that stays."""
    found: dict[str, tuple[str, str, float]] = {}
    fate: dict[tuple[str, str], str] = {}
    kept: dict[str, list[tuple[str, frozenset[tuple[str, ...]]]]] = {}
    for row in notes.sort("written_time", "note_id").to_dicts():
        name, person = row["note_id"], row["subject_id"] or f"alone {row['note_id']}"
        twin = fate.setdefault((person, row["text"]), name)
        if twin != name:
            found[name] = found.get(twin, (twin, "exact", 1.0))
            continue
        mine, others = shingles_of(row["text"]), kept.setdefault(person, [])
        scores = [(len(mine & theirs) / len(mine | theirs), -place) for place, (_, theirs) in enumerate(others)]
        similarity, place = max(scores, default=(0.0, 0))
        if least is not None and similarity >= least:
            found[name] = (others[-place][0], "near", similarity)
        else:
            others.append((name, mine))
    return found


def as_rows(found: pl.DataFrame) -> dict[str, tuple[str, str, float]]:
    return {name: (kept, reason, similarity) for name, kept, reason, similarity in found.iter_rows()}


@st.composite
def records(draw: st.DrawFn) -> list[Note]:
    """A few people's notes: new ones, copies, and copies in which some words are others."""
    words = st.sampled_from(["a", "b", "c", "d", "e"])
    notes: list[Note] = []
    for _ in range(draw(st.integers(0, 14))):
        text = draw(st.lists(words, min_size=1, max_size=24))
        if notes and draw(st.booleans()):
            text = draw(st.sampled_from(notes))[2].split(" ")
            for _ in range(draw(st.integers(0, 3))):
                text[draw(st.integers(0, len(text) - 1))] = draw(words)
            text += draw(st.lists(words, max_size=3))
        person = draw(st.sampled_from(["P1", "P2", None]))
        notes.append((person, draw(st.one_of(st.none(), st.integers(0, 5))), " ".join(text)))
    return notes


@settings(max_examples=150, deadline=None)
@given(records(), st.sampled_from([None, 0.1, 0.3, 0.5, 2 / 3, 0.8, 1.0]), st.sampled_from([1, 40, 10_000]))
def test_found_are_those_that_a_walk_over_the_notes_finds(notes: list[Note], least: float | None, words: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "WORDS_PER_BATCH", words)
        patch.setattr(near_duplicates, "ROWS_PER_PRODUCT", 1 + words % 7)
        found = duplicates_of(frame(notes), least)
    assert as_rows(found) == one_by_one(frame(notes), least)


def text_of(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


def test_the_threshold_itself_counts_and_a_hair_below_does_not() -> None:
    """16 words are 12 shingles; one more word at the end is one shingle more: 12 of 13 shared."""
    notes = frame([("P1", 0, text_of(*range(16))), ("P1", 1, text_of(*range(17)))])
    assert as_rows(duplicates_of(notes, 12 / 13)) == {"N1": ("N0", "near", 12 / 13)}
    assert duplicates_of(notes, 12 / 13 + 1e-9).is_empty()


def test_a_copy_that_drifts_away_is_kept_once_it_is_new() -> None:
    days = [("P1", day, text_of(*range(10 * day, 10 * day + 100))) for day in range(8)]
    found = as_rows(duplicates_of(frame(days), 0.6))
    kept = sorted({name for name, *_ in found.values()})
    assert kept == ["N0", "N3", "N6"]
    assert sorted(found) == ["N1", "N2", "N4", "N5", "N7"]
    assert min(similarity for *_, similarity in found.values()) >= 0.6


def test_other_peoples_notes_and_other_orders_of_rows_change_nothing() -> None:
    text = text_of(*range(30))
    notes = frame([("P1", 0, text), ("P2", 0, text), ("P1", 1, text), (None, 0, text), (None, 1, text)])
    assert as_rows(duplicates_of(notes, 0.8)) == {"N2": ("N0", "exact", 1.0)}
    assert as_rows(duplicates_of(notes.reverse(), 0.8)) == {"N2": ("N0", "exact", 1.0)}
    assert duplicates_of(notes.clear(), 0.8).is_empty()
