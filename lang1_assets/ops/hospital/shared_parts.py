"""Parts that admission and discharge notes share: who it is about, lists of conditions, what must not count."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl

from lang1_assets.ops.hospital.comorbidity import ABSENT, DEFINITE_SEVERE, POSSIBLE
from lang1_assets.ops.hospital.conditions import (
    ASTHMA,
    ASTHMA_MAXIMUM_AGE,
    CONCEPTS,
    LUNG,
    MILD,
    NUM_FAMILIES,
    SEVERE,
)
from lang1_assets.ops.hospital.scenarios import SCENARIOS
from lang1_assets.ops.hospital.wording import Bank, Pen

_OTHER_HISTORY = (
    "hypertension|hyperlipidemia|hypothyroidism|acid reflux|osteoarthritis|anxiety|obesity|sleep apnea|migraine|gout",
    "HTN|HLD|hypothyroid|GERD|OA|anxiety|OSA|migraine|gout",
    "hypertension with home cuff|long COVID|obesity on GLP-1|sleep apnea on auto-CPAP|vitamin D deficiency|anxiety",
)
_CHILD_HISTORY = (
    "eczema|seasonal allergies|born preterm|ear infections|anemia",
    "eczema|allergies|ex-preemie|AOM|anemia",
    "eczema on dupilumab|seasonal allergies|picky eater with anemia",
)
_NO_HISTORY = (
    "otherwise no chronic illness|no other medical problems",
    "o/w healthy|no other PMH",
    "no other active problems on the list|problem list otherwise empty",
)
_POSSIBLE_FRAME = ("possible |suspected ", "? |poss ", "suspected, not confirmed: |possible ")


@lru_cache(maxsize=8)
def bank(name: str, site: str) -> Bank:
    """The banks that are built from other modules' tables."""
    if name == "condition":
        return Bank(((concept.long, concept.short, concept.new) for concept in CONCEPTS), site)
    if name == "scenario":
        return Bank(((scenario.long, scenario.short, scenario.new) for scenario in SCENARIOS), site)
    levels = {"other": [_OTHER_HISTORY, _CHILD_HISTORY], "none": [_NO_HISTORY], "possible": [_POSSIBLE_FRAME]}
    return Bank(levels[name], site)


def _who_table() -> pl.Series:
    """Texts for form, sex and age, in this order of nesting."""
    nouns = (("woman", "man"), ("F", "M"), ("female", "male"))
    child = ("girl", "boy")
    texts = []
    for form in range(3):
        for sex in range(2):
            for age in range(100):
                noun = child[sex] if form == 0 and age < 18 else nouns[form][sex]
                years = (f"{age}-year-old ", str(age), f"{age} y.o. ")[form]
                texts.append(f"{years}{noun}" if age or form else f"infant {noun}")
    return pl.Series(texts)


_WHO = _who_table()


def who(age: np.ndarray, sex: np.ndarray, pen: Pen) -> pl.Series:
    """Such as "72-year-old woman", "72F", "72 y.o. female"."""
    return _WHO.gather(pen.forms() * 200 + sex.astype(np.int64) * 100 + age)


def concept_of(stated: np.ndarray, age: np.ndarray) -> np.ndarray:
    """The form of each family that the note names: shape (n, families)."""
    concept = np.where(stated == DEFINITE_SEVERE, SEVERE, MILD)
    concept[age <= ASTHMA_MAXIMUM_AGE, LUNG] = ASTHMA
    return concept


def condition_list(stated: np.ndarray, age: np.ndarray, site: str, pen: Pen) -> pl.Series:
    """The conditions that a patient has, then the possible ones and some that no index counts, separated by commas."""
    terms = bank("condition", site)
    concept = concept_of(stated, age)
    columns = []
    for family in range(NUM_FAMILIES):
        definite = (stated[:, family] != ABSENT) & (stated[:, family] != POSSIBLE)
        columns.append(terms.pick(concept[:, family], pen, definite))
    order = pen.rng.permutation(NUM_FAMILIES)
    has_none = np.isin(stated, (ABSENT, POSSIBLE)).all(axis=1)
    possible = np.argmax(stated == POSSIBLE, axis=1)
    has_possible = (stated == POSSIBLE).any(axis=1)
    rows = np.arange(len(pen))
    maybe = pl.select(
        pl.concat_str(
            [
                bank("possible", site).pick(0, pen, has_possible),
                terms.pick(concept[rows, possible], pen, has_possible),
            ]
        )
    ).to_series()
    columns = [columns[index] for index in order]
    columns.append(maybe)
    columns.append(bank("other", site).pick((age < 18).astype(int), pen, pen.chance(0.55)))
    columns.append(bank("none", site).pick(0, pen, has_none & pen.chance(0.4)))
    return join_shown(columns)


def join_shown(columns: list[pl.Series], separator: str = ", ") -> pl.Series:
    """The texts of each row that are not empty, joined."""
    frame = pl.DataFrame([column.alias(str(index)) for index, column in enumerate(columns)])
    shown = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in frame.columns]
    return frame.select(pl.concat_str(shown, separator=separator, ignore_nulls=True)).to_series()


def two_other_conditions(
    stated: np.ndarray, age: np.ndarray, pen: Pen, absent_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Two different concepts that must not count; with `absent_only` none of a family that the patient has."""
    key = pen.rng.random((len(pen), NUM_FAMILIES))
    if absent_only:
        key = np.where(stated == ABSENT, key, key - 2.0)
    order = np.argsort(-key, axis=1)[:, :2]
    concept = concept_of(np.where(pen.rng.random(stated.shape) < 0.3, DEFINITE_SEVERE, ABSENT), age)
    rows = np.arange(len(pen))
    return concept[rows, order[:, 0]], concept[rows, order[:, 1]]
