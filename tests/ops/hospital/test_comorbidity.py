from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.hospital import comorbidity
from lang1_assets.ops.hospital.conditions import CONCEPTS, NUM_FAMILIES, OTHER_CODES_ICD9, OTHER_CODES_ICD10
from lang1_assets.ops.hospital.scenarios import SCENARIOS
from tests.test_charlson_sql import pycomorb_scores


def _score(codes: list[tuple[str, int, str]]) -> dict[str, int]:
    table = pl.DataFrame(codes, schema=["encounter_id", "icd_version", "icd_code"], orient="row")
    return dict(pycomorb_scores(table).iter_rows())


def test_every_code_of_a_condition_scores_its_weight() -> None:
    codes = [
        (f"{concept.weight} {code}", version, code)
        for concept in CONCEPTS
        for version, listed in ((9, concept.icd9), (10, concept.icd10))
        for code in listed.split()
    ]
    for name, score in _score(codes).items():
        assert score == int(name.split()[0]), name


def test_no_other_code_scores() -> None:
    codes = [(code, 9, code) for code in OTHER_CODES_ICD9] + [(code, 10, code) for code in OTHER_CODES_ICD10]
    codes += [
        (f"{scenario.key}{version}", version, code)
        for scenario in SCENARIOS
        for version, code in zip((9, 10), scenario.codes, strict=True)
    ]
    assert not any(_score(codes).values())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=NUM_FAMILIES, max_size=NUM_FAMILIES), st.integers(0, 2**31))
def test_convolution_equals_simulation(stated: list[int], seed: int) -> None:
    row = np.array([stated], dtype=np.int8)
    exact = comorbidity.charlson_probabilities(row)[0]
    rng = np.random.default_rng(seed)
    draws = rng.random((20_000, NUM_FAMILIES, 1))
    form = (draws >= np.cumsum(comorbidity.CODING[np.arange(NUM_FAMILIES), row[0]], axis=1)[:, :-1]).sum(axis=2)
    score = comorbidity.FORM_WEIGHTS[np.arange(NUM_FAMILIES), form].sum(axis=1)
    found = np.bincount(np.searchsorted(comorbidity.CLASS_STARTS, score, side="right"), minlength=5) / len(score)
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_coding_given_a_class_adds_up_to_it() -> None:
    rng = np.random.default_rng(1)
    stated = rng.choice(4, (500, NUM_FAMILIES), p=(0.8, 0.1, 0.05, 0.05)).astype(np.int8)
    chances = comorbidity.charlson_probabilities(stated)
    label = (rng.random((500, 1)) >= np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    coded = comorbidity.draw_coding(stated, label, rng)
    score = comorbidity.FORM_WEIGHTS[np.arange(NUM_FAMILIES), coded].sum(axis=1)
    assert (np.searchsorted(comorbidity.CLASS_STARTS, score, side="right") == label).all()


@pytest.mark.parametrize("group", range(5))
def test_stated_conditions_add_up_to_the_groups_class(group: int) -> None:
    rng = np.random.default_rng(group)
    num = 400
    stated = comorbidity.draw_conditions(
        np.full(num, group), np.full(num, 70), rng.gumbel(size=(num, NUM_FAMILIES)), np.zeros(num, bool), rng
    )
    form = np.where(stated == comorbidity.POSSIBLE, 0, stated)
    score = comorbidity.FORM_WEIGHTS[np.arange(NUM_FAMILIES), form].sum(axis=1)
    assert (np.searchsorted(comorbidity.CLASS_STARTS, score, side="right") == group).mean() > 0.97
