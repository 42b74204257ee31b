"""Intercepts, burden shares and monthly volumes with which a site reproduces its targets, found by simulation."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from lang1_assets.ops.hospital import comorbidity, facts, outcomes
from lang1_assets.ops.hospital.config import (
    CLAIM_ERA_STARTS,
    CLAIM_ERAS,
    ERA_STARTS,
    ERAS,
    MONTHS,
    STAY_BEFORE_DEATH,
    TARGETS,
    Calibration,
    Targets,
    era_of,
    month_weights,
)
from lang1_assets.ops.hospital.population import Patients, draw_patients
from lang1_assets.ops.hospital.simulate import Visits, simulate

REFERENCE_PATIENTS = 24_000
_PASSES = 3
_ROWS_PER_GROUP = 1_500
_MINIMUM_ROWS = 150


def first_guess(targets: Targets) -> Calibration:
    """Where the fixed-point iteration starts."""
    return Calibration(
        readmission=np.full(len(ERAS), -2.0),
        mortality=np.full(len(ERAS), -5.0),
        stay_before_discharge=np.zeros((len(ERAS), 4)),
        stay_before_death=np.zeros((len(ERAS), 4)),
        insurance_denial=np.full(len(CLAIM_ERAS), -2.0),
        burden_cuts=np.vectorize(NormalDist().inv_cdf)(np.cumsum(np.array(targets.comorbidity)[:, :-1], axis=1)),
        first_visits=month_weights(),
        encounters_per_patient=1.4,
    )


@lru_cache(maxsize=8)
def reference_calibration(site: str, seed: int) -> Calibration:
    """A site's calibration from a simulation of fixed size: each pass simulates with the last one and solves again."""
    calibration = first_guess(TARGETS[site])
    for index in range(_PASSES):
        visits, _ = _simulate(site, REFERENCE_PATIENTS, calibration, np.random.default_rng([seed, 90, index]))
        calibration = solve_calibration(visits, calibration, TARGETS[site])
    return calibration


def _simulate(
    site: str, num_patients: int, calibration: Calibration, rng: np.random.Generator
) -> tuple[Visits, Patients]:
    patients = draw_patients(num_patients, site, rng)
    return simulate(patients, site, calibration, rng), patients


def calibrated_visits(site: str, num_patients: int, seed: int) -> tuple[Visits, Patients, Calibration]:
    """Admissions of `num_patients`, their intercepts solved on these very patients, so that ratios hold closely.

    The second simulation uses the same random numbers as the first: the same first admissions, with other intercepts.
    """
    calibration = reference_calibration(site, seed)
    visits, _ = _simulate(site, num_patients, calibration, np.random.default_rng([seed, 1]))
    solved = solve_calibration(visits, calibration, TARGETS[site])
    calibration = replace(solved, first_visits=calibration.first_visits)
    return *_simulate(site, num_patients, calibration, np.random.default_rng([seed, 1])), calibration


def solve_calibration(visits: Visits, calibration: Calibration, targets: Targets) -> Calibration:
    """The calibration with which these admissions would have had the target ratios in every era."""
    discharged = visits.discharge_time.astype("datetime64[D]")
    era, claim_era = era_of(discharged, ERA_STARTS), era_of(discharged, CLAIM_ERA_STARTS)
    people, levels, stated = visits.people, visits.facts, visits.stated
    asked = visits.is_asked_about_readmission
    readmission = facts.readmission_score(people, levels, stated)[asked]
    mortality = facts.mortality_score(people, levels, stated)
    denial = facts.denial_score(people, levels)
    deaths = _intercepts(mortality, era, targets.mortality)
    alive, dead = _stay_intercepts(facts.stay_score(people, levels), mortality, deaths, era, targets)
    return Calibration(
        readmission=_intercepts(readmission, era[asked], targets.readmission),
        mortality=deaths,
        stay_before_discharge=alive,
        stay_before_death=dead,
        insurance_denial=_intercepts(denial, claim_era, targets.insurance_denial),
        burden_cuts=_burden_cuts(visits, era, targets),
        first_visits=_first_visits(visits, calibration),
        encounters_per_patient=len(visits) / (visits.patient.max() + 1),
    )


def _intercepts(score: np.ndarray, era: np.ndarray, targets: tuple[float, ...]) -> np.ndarray:
    return np.array(
        [outcomes.solve_intercept(_of_era(score, era, index), target) for index, target in enumerate(targets)]
    )


def _stay_intercepts(
    stay: np.ndarray, mortality: np.ndarray, deaths: np.ndarray, era: np.ndarray, targets: Targets
) -> tuple[np.ndarray, np.ndarray]:
    """Of those who live and of those who die, each of shape (eras, classes): all together then have the era's ratios."""
    alive, dead = [], []
    for index, (prevalence, ratios) in enumerate(zip(targets.mortality, targets.length_of_stay, strict=True)):
        score = _of_era(stay, era, index)
        p_death = outcomes.expit(_of_era(mortality, era, index) + deaths[index])
        of_dead = np.array(STAY_BEFORE_DEATH)
        of_alive = (np.array(ratios) - prevalence * of_dead) / (1 - prevalence)
        alive.append(outcomes.solve_class_intercepts(score, 1 - p_death, of_alive))
        dead.append(outcomes.solve_class_intercepts(score, p_death, of_dead))
    return np.stack(alive), np.stack(dead)


def _of_era(values: np.ndarray, era: np.ndarray, index: int) -> np.ndarray:
    """The values of one era, or of all where it has too few to solve for."""
    rows = era == index
    return values[rows] if rows.sum() >= _MINIMUM_ROWS else values


def _burden_cuts(visits: Visits, era: np.ndarray, targets: Targets) -> np.ndarray:
    burden = visits.people.burden
    goal = np.array(targets.comorbidity)
    bounds = np.concatenate([[0.0], np.cumsum(goal.mean(axis=0))])
    by_burden = np.argsort(burden)
    classes = np.stack([_mean_classes(visits, by_burden, bounds[g : g + 2], g) for g in range(comorbidity.NUM_GROUPS)])
    shares = [outcomes.solve_group_shares(classes, ratios) for ratios in goal]
    return np.stack(
        [
            np.quantile(_of_era(burden, era, index), np.minimum(np.cumsum(share)[:-1], 1.0))
            for index, share in enumerate(shares)
        ]
    )


def _mean_classes(visits: Visits, by_burden: np.ndarray, bounds: np.ndarray, group: int) -> np.ndarray:
    """Mean class chances of patients with the burden of a group; a rare group borrows its neighbors' patients."""
    low, high = (bounds * len(by_burden)).astype(int)
    rows = by_burden[max(0, min(low, high - _ROWS_PER_GROUP)) : high]
    rows = rows[:: max(1, len(rows) // (4 * _ROWS_PER_GROUP))]
    stated = comorbidity.draw_conditions(
        np.full(len(rows), group),
        visits.people.age[rows],
        visits.priority[rows],
        visits.is_dialysis[rows],
        np.random.default_rng(group),
    )
    return comorbidity.charlson_probabilities(stated).mean(axis=0)


def _first_visits(visits: Visits, calibration: Calibration) -> np.ndarray:
    """Fewer new patients in months that returning ones fill."""
    month = (visits.admit_time.astype("datetime64[M]") - MONTHS[0]).astype(int)
    counts = np.bincount(month[month < len(MONTHS)], minlength=len(MONTHS))
    smooth = np.convolve(
        np.pad(counts / calibration.first_visits.clip(1e-9), 6, mode="edge"), np.ones(13) / 13, "valid"
    )
    first = month_weights() / np.maximum(smooth, 1e-9)
    return first / first.sum()
