"""Intercepts, burden shares and monthly volumes with which a site reproduces its targets, from a reference simulation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from lang1_assets.ops.hospital import comorbidity, facts, outcomes
from lang1_assets.ops.hospital.config import (
    CLAIM_ERA_STARTS,
    CLAIM_ERAS,
    ERA_STARTS,
    ERAS,
    MONTHS,
    TARGETS,
    Targets,
    era_of,
    month_weights,
)

REFERENCE_PATIENTS = 24_000
_PASSES = 3
_ROWS_PER_GROUP = 1_500


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the simulation needs beside the effects; one row an era."""

    readmission: np.ndarray
    mortality: np.ndarray
    length_of_stay: np.ndarray
    insurance_denial: np.ndarray
    burden_cuts: np.ndarray
    """Burden at which each group of comorbidity begins: shape (eras, 4)."""
    first_visits: np.ndarray
    """Share of new patients in each of `MONTHS`."""
    encounters_per_patient: float


def first_guess(targets: Targets) -> Calibration:
    """Where the fixed-point iteration starts."""
    return Calibration(
        readmission=np.full(len(ERAS), -2.0),
        mortality=np.full(len(ERAS), -5.0),
        length_of_stay=np.zeros((len(ERAS), 4)),
        insurance_denial=np.full(len(CLAIM_ERAS), -2.0),
        burden_cuts=ndtri(np.cumsum(np.array(targets.comorbidity)[:, :-1], axis=1)),
        first_visits=month_weights(),
        encounters_per_patient=1.4,
    )


@lru_cache(maxsize=8)
def calibration_of(site: str, seed: int) -> Calibration:
    """Solve a site's calibration: each pass simulates with the last one and solves the intercepts again."""
    from lang1_assets.ops.hospital.simulate import simulate_site  # it needs `Calibration` from here

    calibration = first_guess(TARGETS[site])
    for index in range(_PASSES):
        rng = np.random.default_rng([seed, 90, index])
        visits = simulate_site(site, REFERENCE_PATIENTS, calibration, rng)
        calibration = _solve(visits, calibration, TARGETS[site], rng)
    return calibration


def _solve(visits, calibration: Calibration, targets: Targets, rng: np.random.Generator) -> Calibration:  # noqa: ANN001
    discharged = visits.discharge_time.astype("datetime64[D]")
    era, claim_era = era_of(discharged, ERA_STARTS), era_of(discharged, CLAIM_ERA_STARTS)
    people, levels, stated = visits.people, visits.facts, visits.stated
    mortality = facts.mortality_score(people, levels, stated)
    readmission = facts.readmission_score(people, levels, stated)
    stay, denial = facts.stay_score(people, levels), facts.denial_score(people, levels)
    asked = visits.is_asked_about_readmission
    eras = range(len(ERAS))
    return Calibration(
        readmission=np.array(
            [outcomes.solve_intercept(readmission[asked & (era == e)], targets.readmission[e]) for e in eras]
        ),
        mortality=np.array([outcomes.solve_intercept(mortality[era == e], targets.mortality[e]) for e in eras]),
        length_of_stay=np.stack(
            [outcomes.solve_class_intercepts(stay[era == e], np.array(targets.length_of_stay[e])) for e in eras]
        ),
        insurance_denial=np.array(
            [outcomes.solve_intercept(denial[claim_era == e], targets.insurance_denial[e]) for e in range(len(CLAIM_ERAS))]
        ),
        burden_cuts=_burden_cuts(visits, era, targets, rng),
        first_visits=_first_visits(visits, calibration),
        encounters_per_patient=len(visits) / REFERENCE_PATIENTS,
    )


def _burden_cuts(visits, era: np.ndarray, targets: Targets, rng: np.random.Generator) -> np.ndarray:  # noqa: ANN001
    burden = visits.people.burden
    by_burden = np.argsort(burden)
    goal = np.array(targets.comorbidity)
    bounds = np.concatenate([[0.0], np.cumsum(goal.mean(axis=0))])
    classes = np.stack([_mean_classes(visits, by_burden, bounds[g : g + 2], g, rng) for g in range(comorbidity.NUM_GROUPS)])
    cuts = []
    for index in range(len(ERAS)):
        shares = outcomes.solve_group_shares(classes, goal[index])
        cuts.append(np.quantile(burden[era == index], np.minimum(np.cumsum(shares)[:-1], 1.0)))
    return np.stack(cuts)


def _mean_classes(visits, by_burden: np.ndarray, bounds: np.ndarray, group: int, rng: np.random.Generator) -> np.ndarray:  # noqa: ANN001
    """Mean class chances of patients with the burden of a group; a rare group borrows its neighbors' patients."""
    low, high = (bounds * len(by_burden)).astype(int)
    low = max(0, min(low, high - _ROWS_PER_GROUP))
    rows = by_burden[low:high] if high - low <= 4 * _ROWS_PER_GROUP else rng.choice(by_burden[low:high], 4 * _ROWS_PER_GROUP)
    stated = comorbidity.draw_conditions(
        np.full(len(rows), group), visits.people.age[rows], visits.priority[rows], visits.is_dialysis[rows], rng
    )
    return comorbidity.charlson_probabilities(stated).mean(axis=0)


def _first_visits(visits, calibration: Calibration) -> np.ndarray:  # noqa: ANN001
    """Fewer new patients in months that returning ones fill."""
    month = (visits.admit_time.astype("datetime64[M]") - MONTHS[0]).astype(int)
    counts = np.bincount(month[month < len(MONTHS)], minlength=len(MONTHS))
    smooth = np.convolve(np.pad(counts / calibration.first_visits.clip(1e-9), 6, mode="edge"), np.ones(13) / 13, "valid")
    first = month_weights() / smooth
    return first / first.sum()
