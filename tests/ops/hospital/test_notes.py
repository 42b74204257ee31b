from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.hospital import admission_note, other_notes, phrases_admission, phrases_discharge, shared_parts
from lang1_assets.ops.hospital.comorbidity import DEFINITE_MILD, DEFINITE_SEVERE
from lang1_assets.ops.hospital.conditions import CONCEPTS
from lang1_assets.ops.hospital.encounters import Hospital
from lang1_assets.ops.hospital.wording import Bank, Pen, in_words_of, with_typo
from tests.ops.hospital.conftest import Export

OUTCOMES = re.compile(
    r"\b(expired|died|deceased|death|readmi\w+|length of stay|\bLOS\b|denied|denial)\b", re.IGNORECASE
)


def _pen(num: int, year: int = 2016, seed: int = 0) -> Pen:
    rng = np.random.default_rng(seed)
    return Pen(rng.integers(0, 4, num), np.full(num, year), np.zeros(num), rng)


def _states(text: str, wordings: tuple[str, str, str]) -> bool:
    return any(wording in text for form in wordings for wording in form.split("|"))


@pytest.fixture(scope="module")
def visits(hospital: Hospital):
    return hospital.visits.take(np.arange(400))


def test_admission_notes_state_every_fact_that_moves_an_outcome(visits) -> None:
    texts = admission_note.admission_texts(visits, _pen(len(visits)), "main")
    for name in ("severity", "function", "payer", "authorization", "level_of_care", "expectation"):
        levels = getattr(phrases_admission, name.upper())
        for text, level in zip(texts, visits.facts[name], strict=True):
            assert _states(" ".join(text.split()[:200]), levels[level]), f"{name} {level} is not in the note"
    for text, level in zip(texts, visits.facts["goals"], strict=True):
        assert level == 0 or _states(text, phrases_admission.GOALS[level])
    for text, level in zip(texts, visits.facts["lactate"], strict=True):
        value = float(re.search(r"(?:lactate|lact|LA|lactic acid) (\d+\.\d)", text)[1])
        low, high = admission_note.LACTATE_RANGES[level]
        assert low - 0.051 <= value <= high + 0.051


def test_discharge_notes_state_every_fact_that_moves_readmission(visits) -> None:
    texts = other_notes.discharge_texts(visits, _pen(len(visits), 2024), "main")
    for name in other_notes.DISCHARGE_SLOTS:
        levels = getattr(phrases_discharge, name.upper())
        assert all(_states(text, levels[level]) for text, level in zip(texts, visits.facts[name], strict=True)), name


@pytest.mark.parametrize("kind", ["hp", "discharge"])
def test_notes_name_every_chronic_condition(visits, kind: str) -> None:
    write = admission_note.admission_texts if kind == "hp" else other_notes.discharge_texts
    texts = write(visits, _pen(len(visits)), "main")
    concept = shared_parts.concept_of(visits.stated, visits.people.age)
    rows, families = np.nonzero((visits.stated == DEFINITE_MILD) | (visits.stated == DEFINITE_SEVERE))
    assert len(rows) > 50
    for row, family in zip(rows, families, strict=True):
        named = CONCEPTS[concept[row, family]]
        assert _states(texts[int(row)], (named.long, named.short, named.new))


def test_negated_conditions_are_ones_that_the_patient_does_not_have(visits) -> None:
    first, second = shared_parts.two_other_conditions(visits.stated, visits.people.age, _pen(len(visits)), True)
    from lang1_assets.ops.hospital.conditions import FAMILY_OF_CONCEPT

    rows = np.arange(len(visits))
    for concept in (first, second):
        assert (visits.stated[rows, FAMILY_OF_CONCEPT[concept]] == 0).mean() > 0.99


def test_no_admission_note_tells_an_outcome(export: Export) -> None:
    notes = export.table("notes").filter(pl.col("note_type") == "hp")["narrative"]
    assert not [text for text in notes if OUTCOMES.search(text)]


def test_notes_are_of_the_intended_length(export: Export) -> None:
    notes = export.table("notes").with_columns(words=pl.col("narrative").str.split(" ").list.len())
    mean = dict(notes.group_by("note_type").agg(pl.col("words").mean()).iter_rows())
    assert 80 < mean["hp"] < 170
    assert 80 < mean["discharge"] < 170
    assert all(25 < mean[kind] < 100 for kind in ("progress", "radiology", "pathology"))


def test_2024_is_another_era(export: Export) -> None:
    notes = export.table("notes").filter(
        pl.col("note_type") == "hp", ~pl.col("written_time").str.contains("^(1890|2999)")
    )
    recent = pl.col("narrative").str.contains("NEWS2|AM-PAC|HFpEF|GLP-1|COVID|telehealth|portal")
    share = dict(notes.group_by(pl.col("written_time").str.slice(0, 4)).agg(recent.mean()).iter_rows())
    assert share["2005"] < 0.05
    assert share["2024"] > 0.6


def test_the_external_hospital_uses_other_words() -> None:
    assert in_words_of("external", "Denies CHF") == "Does not report HF"
    assert in_words_of("main", "Denies CHF") == "Denies CHF"


def test_a_typo_changes_one_word_only() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        text = "Lives alone with little assistance"
        changed = sum(a != b for a, b in zip(text.split(), with_typo(text, rng).split(), strict=True))
        assert changed <= 1


def test_bank_picks_only_wordings_of_the_level() -> None:
    bank = Bank([("a|b", "c", "d"), ("e", "f|g", "h")], "main")
    picked = bank.pick(np.repeat([0, 1], 200), _pen(400, 2020))
    assert set(picked[:200]) <= set("abcd")
    assert set(picked[200:]) <= set("efgh")
