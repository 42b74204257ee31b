"""Class ratios, ceilings and honesty of the probabilities, on a hospital of the demo's size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from lang1_assets.ops.hospital import tables
from lang1_assets.ops.hospital.comorbidity import CLASS_STARTS
from lang1_assets.ops.hospital.encounters import Hospital
from tests.test_charlson_sql import pycomorb_scores

# Paper, Tables B3 to B7, over the splits of each window.
WINDOWS = {
    "main": ("2013-01-01", "2021-06-01"),
    "2021": ("2021-06-01", "2022-01-01"),
    "2024": ("2024-01-01", "2025-01-01"),
}
CLAIM_WINDOWS = {
    "main": ("2021-05-01", "2022-03-01"),
    "2021": ("2022-03-01", "2022-05-01"),
    "2024": ("2024-01-01", "2024-02-01"),
}
PAPER = {
    "readmission": {"main": (0.8917, 0.1083), "2021": (0.888456, 0.111544), "2024": (0.887115, 0.112885)},
    "mortality": {"main": (0.98115, 0.01885), "2021": (0.980693, 0.019307), "2024": (0.982241, 0.017759)},
    "length_of_stay": {
        "main": (0.417012, 0.176977, 0.165905, 0.240106),
        "2021": (0.418597, 0.153201, 0.164805, 0.263397),
        "2024": (0.456418, 0.144529, 0.159757, 0.239297),
    },
    "comorbidity": {
        "main": (0.6940, 0.2256, 0.0543, 0.02535, 0.00088),
        "2021": (0.685811, 0.228327, 0.059164, 0.025821, 0.000878),
        "2024": (0.684043, 0.217355, 0.067513, 0.029370, 0.001717),
    },
    "insurance_denial": {"main": (0.8771, 0.1229), "2021": (0.87988, 0.12012), "2024": (0.861033, 0.138967)},
}  # fmt: skip
CEILINGS = {
    "readmission": (0.78, 0.84), "mortality": (0.935, 0.975), "length_of_stay": (0.85, 0.89),
    "comorbidity": (0.94, 0.98), "insurance_denial": (0.83, 0.89),
}  # fmt: skip


def _two(probability: np.ndarray) -> np.ndarray:
    return np.stack([1 - probability, probability], axis=1)


@pytest.fixture(scope="session")
def labels(large_hospital: Hospital) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each task: which encounters have a label, the labels, the probabilities."""
    visits = large_hospital.visits
    own = ~visits.is_follow_up
    codes = tables.diagnoses_table(large_hospital, np.random.default_rng(0))
    scores = pycomorb_scores(pl.DataFrame(codes))
    score = np.zeros(len(visits), dtype=int)
    row = np.searchsorted(large_hospital.encounter_ids, scores["encounter_id"].to_numpy().astype(str))
    score[row] = scores["charlson_score"]
    comorbidity = np.searchsorted(CLASS_STARTS, score, side="right")
    return {
        "readmission": (own & visits.is_asked_about_readmission, visits.readmitted, _two(visits.p_readmission)),
        "mortality": (own, visits.died, _two(visits.p_mortality)),
        "length_of_stay": (own, visits.stay, visits.p_stay),
        "comorbidity": (large_hospital.has_codes, comorbidity, large_hospital.p_comorbidity),
        "insurance_denial": (large_hospital.has_claim, large_hospital.denied, _two(large_hospital.p_denial)),
    }


def _windows(hospital: Hospital, task: str) -> Iterator[tuple[str, np.ndarray]]:
    discharged = hospital.visits.discharge_time
    for name, (start, end) in (CLAIM_WINDOWS if task == "insurance_denial" else WINDOWS).items():
        yield name, (discharged >= np.datetime64(start)) & (discharged < np.datetime64(end))


@pytest.mark.parametrize("task", PAPER)
def test_class_ratios_are_the_papers_within_sampling_error(
    large_hospital: Hospital, labels: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], task: str
) -> None:
    asked, label, _ = labels[task]
    for window, inside in _windows(large_hospital, task):
        here = label[asked & inside]
        wanted = np.array(PAPER[task][window])
        found = np.bincount(here, minlength=len(wanted)) / len(here)
        error = np.sqrt(wanted * (1 - wanted) / len(here))
        assert (np.abs(found - wanted) < 3 * error).all(), f"{window}: {found} is not near {wanted}"
        assert (found > 0).all(), f"{window}: a class is absent"


@pytest.mark.parametrize("task", PAPER)
def test_ceilings_lie_where_the_papers_models_do(
    large_hospital: Hospital, labels: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], task: str
) -> None:
    asked, label, chances = labels[task]
    low, high = CEILINGS[task]
    for window, inside in _windows(large_hospital, task):
        rows = asked & inside
        classes = range(chances.shape[1]) if chances.shape[1] > 2 else [1]
        found = np.mean([roc_auc_score(label[rows] == index, chances[rows, index]) for index in classes])
        margin = 0.0 if rows.sum() > 10_000 else 0.04
        assert low - margin < found < high + margin, f"{window}: {found:.3f}"


@pytest.mark.parametrize("task", PAPER)
def test_labels_follow_their_probabilities(
    labels: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], task: str
) -> None:
    asked, label, chances = labels[task]
    for index in range(chances.shape[1]):
        chance, hit = chances[asked, index], label[asked] == index
        for part in np.array_split(np.argsort(chance), 10):
            expected = chance[part].mean()
            error = np.sqrt(max(expected * (1 - expected), 1e-4) / len(part))
            assert abs(hit[part].mean() - expected) < 4.5 * error


def test_patients_return_and_their_visits_do_not_overlap(large_hospital: Hospital) -> None:
    visits = large_hospital.visits
    order = np.lexsort((visits.admit_time, visits.patient))
    same = visits.patient[order][1:] == visits.patient[order][:-1]
    gap = visits.admit_time[order][1:] - visits.discharge_time[order][:-1]
    assert (gap[same] > np.timedelta64(0, "s")).all()
    assert 1.3 < len(visits) / len(np.unique(visits.patient)) < 1.8


def test_volume_is_steady_from_2013_and_larger_in_2024(large_hospital: Hospital) -> None:
    admitted = large_hospital.visits.admit_time
    per_year = {
        year: int(((admitted >= np.datetime64(f"{year}")) & (admitted < np.datetime64(f"{year + 1}"))).sum())
        for year in (2003, 2008, 2014, 2019, 2024)
    }
    assert per_year[2003] < per_year[2008] < per_year[2014]
    assert per_year[2019] == pytest.approx(per_year[2014], rel=0.15)
    assert 1.4 < per_year[2024] / per_year[2019] < 2.1


def test_codes_change_version_in_october_2015(large_hospital: Hospital) -> None:
    codes = tables.diagnoses_table(large_hospital, np.random.default_rng(0))
    discharged = pl.DataFrame(
        {
            "encounter_id": large_hospital.encounter_ids,
            "is_new": large_hospital.visits.discharge_time >= np.datetime64("2015-10-01"),
        }
    )
    joined = codes.join(discharged, on="encounter_id")
    assert (
        joined["icd_version"].cast(int) == pl.select(pl.when(joined["is_new"]).then(10).otherwise(9)).to_series()
    ).all()


def test_claims_end_in_a_final_status_that_says_the_label(large_hospital: Hospital) -> None:
    claims = tables.claims_table(large_hospital, np.random.default_rng(0))
    last = claims.group_by("encounter_id", maintain_order=True).agg(pl.all().sort_by("status_time").last())
    denied = last["status"].str.contains("determination").to_numpy()
    assert last["status"].str.starts_with("final").all()
    assert (denied == (large_hospital.denied[large_hospital.has_claim] == 1)).all()
