"""The hospital's admissions with all that its tables say of them, in the order of admission."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lang1_assets.ops.hospital import comorbidity, facts, outcomes
from lang1_assets.ops.hospital.calibrate import calibrated_visits, reference_calibration
from lang1_assets.ops.hospital.config import (
    CLAIM_ERA_STARTS,
    ERA_STARTS,
    Calibration,
    HospitalConfig,
    era_of,
    month_weights,
)
from lang1_assets.ops.hospital.population import Patients, draw_patients
from lang1_assets.ops.hospital.scenarios import DEPARTMENTS, KINDS
from lang1_assets.ops.hospital.simulate import END, Visits, simulate_month

CODED_SHARE = 0.77
"""Share of encounters with diagnosis codes: 443,915 of 566,748 in Table B1."""
CLAIM_SHARES = (0.15, 0.97, 0.97, 0.15, 0.5)
"""Share of encounters with a claim in each era of Table B7."""
_FULL_CLAIM_MONTH = np.datetime64("2024-01")

DISPOSITIONS = (
    "Home", "Home Health Care", "Skilled Nursing Facility", "Rehabilitation Facility", "Hospice",
    "Left Against Medical Advice", "Expired",
)  # fmt: skip
_DISPOSITION_SHARES = np.array(
    [
        [0.83, 0.10, 0.02, 0.02, 0.005, 0.025],
        [0.42, 0.32, 0.16, 0.07, 0.015, 0.015],
        [0.14, 0.24, 0.48, 0.06, 0.075, 0.005],
    ]
)
"""Shares of the dispositions of survivors, by the level of function."""
ADMISSION_TYPES = ("emergency", "urgent", "elective", "transfer")
_OTHER_TYPE_CHANCE = 0.12

EXTERNAL_DEPARTMENTS = {
    "Internal Medicine": "General Medicine", "OB/GYN": "Women's Health", "Pediatrics": "Child Health", "Surgery":
    "General Surgery", "Cardiology": "Heart Service", "Orthopedic Surgery": "Orthopaedics", "Neurosurgery":
    "Brain and Spine", "Neurology": "Neurosciences",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """All that the tables and notes are written from; arrays have one entry an encounter, in order of admission."""

    config: HospitalConfig
    prefix: str
    """What makes the ids of this export its own."""
    patients: Patients
    birth_date: np.ndarray
    visits: Visits
    department: np.ndarray
    admission_type: np.ndarray
    disposition: np.ndarray
    has_codes: np.ndarray
    coded: np.ndarray
    """Coded form of each family (see `comorbidity.draw_coding`)."""
    p_comorbidity: np.ndarray
    has_claim: np.ndarray
    p_denial: np.ndarray
    denied: np.ndarray

    @property
    def encounter_ids(self) -> np.ndarray:
        return np.char.add(f"E{self.prefix}", np.char.zfill(np.arange(len(self.visits)).astype(str), 8))

    @property
    def subject_ids(self) -> np.ndarray:
        """One a patient."""
        return np.char.add(f"P{self.prefix}", np.char.zfill(np.arange(len(self.patients)).astype(str), 8))


def build_hospital(config: HospitalConfig) -> Hospital:
    """The whole history from 2003 to 2024, with exactly `num_encounters` admissions."""
    per_patient = reference_calibration(config.site, config.seed).encounters_per_patient
    num_patients = int(config.num_encounters / per_patient * 1.06) + 50
    visits, patients, calibration = calibrated_visits(config.site, num_patients, config.seed)
    rng = np.random.default_rng([config.seed, 2])
    visits, patients = _keep(visits, patients, config.num_encounters, rng)
    return _complete(config, "X" if config.site == "external" else "", patients, visits, rng, calibration)


def build_month(config: HospitalConfig, year: int, month: int) -> Hospital:
    """One later month: as many discharges as a common month of 2024 has, and the returns within 30 days of them."""
    rng = np.random.default_rng([config.seed, 3, year, month])
    calibration = reference_calibration(config.site, config.seed)
    num = max(40, round(config.num_encounters * float(month_weights()[-1])))
    patients = draw_patients(num, config.site, rng)
    wanted = np.datetime64(f"{year:04d}-{month:02d}")
    visits = simulate_month(patients, wanted, config.site, calibration, rng)
    site = "X" if config.site == "external" else ""
    return _complete(config, f"{site}{year:04d}{month:02d}", patients, _ordered(visits), rng, calibration)


def _keep(visits: Visits, patients: Patients, num: int, rng: np.random.Generator) -> tuple[Visits, Patients]:
    """Whole patients at random until the admissions are exactly `num`; single ones fill what is left."""
    counts = np.bincount(visits.patient, minlength=len(patients))
    order = rng.permutation(len(patients))
    total = np.cumsum(counts[order])
    kept = order[total <= num]
    beyond = order[total > num]
    missing = num - int(counts[kept].sum())
    kept = np.concatenate([kept, beyond[counts[beyond] == 1][:missing]])
    new_row = np.full(len(patients), -1)
    kept.sort()
    new_row[kept] = np.arange(len(kept))
    visits = visits.take(new_row[visits.patient] >= 0)
    visits = Visits(**{**vars(visits), "patient": new_row[visits.patient]})
    return _ordered(visits), patients.take(kept)


def _ordered(visits: Visits) -> Visits:
    return visits.take(np.lexsort((visits.patient, visits.admit_time)))


def _complete(
    config: HospitalConfig,
    prefix: str,
    patients: Patients,
    visits: Visits,
    rng: np.random.Generator,
    calibration: Calibration,
) -> Hospital:
    discharged = visits.discharge_time.astype("datetime64[D]")
    era, claim_era = era_of(discharged, ERA_STARTS), era_of(discharged, CLAIM_ERA_STARTS)
    has_codes = ~visits.is_follow_up & (rng.random(len(visits)) < CODED_SHARE)
    p_comorbidity = comorbidity.charlson_probabilities(visits.stated)
    coded = np.zeros(visits.stated.shape, dtype=np.int8)
    label = outcomes.draw_by_era(p_comorbidity[has_codes], era[has_codes], rng)
    coded[has_codes] = comorbidity.draw_coding(visits.stated[has_codes], label, rng)
    score = facts.denial_score(visits.people, visits.facts)
    p_denial = outcomes.expit(score + calibration.insurance_denial[claim_era])
    has_claim = _draw_has_claim(visits, claim_era, rng)
    denied = np.zeros(len(visits), dtype=np.int8)
    denied[has_claim] = outcomes.draw_by_era(p_denial[has_claim], claim_era[has_claim], rng)
    return Hospital(
        config=config,
        prefix=prefix,
        patients=patients,
        birth_date=_birth_dates(patients, visits),
        visits=visits,
        department=_departments(config.site)[visits.people.scenario],
        admission_type=_draw_types(visits.people.scenario, rng),
        disposition=_draw_dispositions(visits, rng),
        has_codes=has_codes,
        coded=coded,
        p_comorbidity=p_comorbidity,
        has_claim=has_claim,
        p_denial=p_denial,
        denied=denied,
    )


def _draw_has_claim(visits: Visits, claim_era: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = np.array(CLAIM_SHARES)[claim_era]
    share = np.where(visits.discharge_time.astype("datetime64[M]") == _FULL_CLAIM_MONTH, 0.97, share)
    return ~visits.is_follow_up & (rng.random(len(visits)) < share)


def _birth_dates(patients: Patients, visits: Visits) -> np.ndarray:
    """So that the age at the first admission is the patient's first age."""
    first = np.full(len(patients), END + np.timedelta64(36500, "D"), dtype="datetime64[s]")
    np.minimum.at(first, visits.patient, visits.admit_time)
    return first.astype("datetime64[D]") - np.ceil(patients.first_age * 365.25).astype(int)


def _departments(site: str) -> np.ndarray:
    if site != "external":
        return DEPARTMENTS
    return np.array([EXTERNAL_DEPARTMENTS.get(name, name) for name in DEPARTMENTS])


def _draw_types(scenario: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    other = np.array(ADMISSION_TYPES)[rng.integers(0, len(ADMISSION_TYPES), len(scenario))]
    return np.where(rng.random(len(scenario)) < _OTHER_TYPE_CHANCE, other, KINDS[scenario])


def _draw_dispositions(visits: Visits, rng: np.random.Generator) -> np.ndarray:
    """Where survivors go depends on their function alone, so that it tells nothing of what comes after."""
    shares = np.cumsum(_DISPOSITION_SHARES[visits.facts["function"]], axis=1)
    index = (rng.random((len(visits), 1)) >= shares[:, :-1]).sum(axis=1)
    return np.array(DISPOSITIONS)[np.where(visits.died == 1, len(DISPOSITIONS) - 1, index)]
