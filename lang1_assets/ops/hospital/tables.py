"""The tables of an export but the notes: patients, encounters, diagnoses, claims, and the oracle."""

from __future__ import annotations

import numpy as np
import polars as pl

from lang1_assets.ops.hospital.conditions import (
    ASTHMA,
    ASTHMA_MAXIMUM_AGE,
    CONCEPTS,
    FAMILIES,
    LUNG,
    MILD,
    NUM_FAMILIES,
    OTHER_CODES_ICD9,
    OTHER_CODES_ICD10,
    SEVERE,
)
from lang1_assets.ops.hospital.encounters import Hospital
from lang1_assets.ops.hospital.population import BOROUGHS, ETHNICITIES, RACES
from lang1_assets.ops.hospital.scenarios import SCENARIOS

ICD10_START = np.datetime64("2015-10-01")
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_PRIMARY_TUMOR_CHANCE = 0.5
_FAVORABLE_CHANCE = 0.45
DAY_SECONDS = 86400


def time_texts(times: np.ndarray) -> pl.Series:
    """`datetime64[s]` as `YYYY-MM-DD HH:MM:SS`."""
    return pl.Series(times.astype("datetime64[us]")).dt.strftime(TIME_FORMAT)


def random_numbers(hospital: Hospital) -> np.random.Generator:
    """What `clean_tables` draws from; what was drawn after them spoils rows and writes notes."""
    return np.random.default_rng([hospital.config.seed, 4])


def clean_tables(hospital: Hospital, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Every table but the notes, all columns as text; with `random_numbers` the same each time, however much dirt is added."""
    return {
        "patients": patients_table(hospital),
        "encounters": encounters_table(hospital),
        "diagnoses": diagnoses_table(hospital, rng),
        "claims": claims_table(hospital, rng),
    }


def patients_table(hospital: Hospital) -> pl.DataFrame:
    """One row a patient, all columns as text."""
    people = hospital.patients
    return pl.DataFrame(
        {
            "subject_id": hospital.subject_ids,
            "birth_date": hospital.birth_date.astype(str),
            "sex": np.array(["F", "M"])[people.sex],
            "race": np.array(RACES)[people.race],
            "ethnicity": np.array(ETHNICITIES)[people.ethnicity],
            "borough": np.array(BOROUGHS)[people.borough],
        }
    )


def encounters_table(hospital: Hospital) -> pl.DataFrame:
    """One row an admission."""
    visits = hospital.visits
    return pl.DataFrame(
        {
            "encounter_id": hospital.encounter_ids,
            "subject_id": hospital.subject_ids[visits.patient],
            "admit_time": time_texts(visits.admit_time),
            "discharge_time": time_texts(visits.discharge_time),
            "department": hospital.department,
            "admission_type": hospital.admission_type,
            "discharge_disposition": hospital.disposition,
        }
    )


def diagnoses_table(hospital: Hospital, rng: np.random.Generator) -> pl.DataFrame:
    """One row a code: the reason for admission first, then chronic conditions and others in random order."""
    visits = hospital.visits
    is_icd10 = visits.discharge_time.astype("datetime64[D]") >= ICD10_START
    rows = np.flatnonzero(hospital.has_codes)
    principal = np.array([scenario.codes for scenario in SCENARIOS])[
        visits.people.scenario[rows], is_icd10[rows].astype(int)
    ]
    parts = [(rows, principal), *_chronic_codes(hospital, is_icd10, rng), *_other_codes(rows, is_icd10, rng)]
    row = np.concatenate([part_rows for part_rows, _ in parts])
    key = np.concatenate([np.full(len(rows), -1.0), rng.random(len(row) - len(rows))])
    order = np.lexsort((key, row))
    row, code = row[order], np.concatenate([codes for _, codes in parts])[order]
    starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
    sequence = np.arange(len(row)) - np.repeat(starts, np.diff(np.append(starts, len(row)))) + 1
    return pl.DataFrame(
        {
            "encounter_id": hospital.encounter_ids[row],
            "subject_id": hospital.subject_ids[visits.patient[row]],
            "sequence_number": sequence.astype(str),
            "icd_version": np.where(is_icd10[row], "10", "9"),
            "icd_code": code,
        }
    )


def _chronic_codes(
    hospital: Hospital, is_icd10: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    young = hospital.visits.people.age <= ASTHMA_MAXIMUM_AGE
    parts = []
    for family in range(NUM_FAMILIES):
        for form, concept in ((1, MILD[family]), (2, SEVERE[family])):
            rows = np.flatnonzero(hospital.coded[:, family] == form)
            if family == LUNG:
                asthmatic = young[rows]
                parts.append((rows[asthmatic], _codes_of(ASTHMA, is_icd10[rows[asthmatic]], rng)))
                rows = rows[~asthmatic]
            parts.append((rows, _codes_of(concept, is_icd10[rows], rng)))
            if form == 2 and FAMILIES[family] == "cancer":
                # A code of the primary tumor beside that of its metastases: counted once, as metastatic.
                primary = rows[rng.random(len(rows)) < _PRIMARY_TUMOR_CHANCE]
                parts.append((primary, _codes_of(MILD[family], is_icd10[primary], rng)))
    return parts


def _codes_of(concept: int, is_icd10: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    old, new = (np.array(codes.split()) for codes in (CONCEPTS[concept].icd9, CONCEPTS[concept].icd10))
    point = rng.random(len(is_icd10))
    return np.where(is_icd10, new[(point * len(new)).astype(int)], old[(point * len(old)).astype(int)])


def _other_codes(
    rows: np.ndarray, is_icd10: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """None to five different codes that no comorbidity index counts."""
    old, new = np.array(OTHER_CODES_ICD9), np.array(OTHER_CODES_ICD10)
    counts = rng.integers(0, 6, len(rows))
    first, step = rng.integers(0, len(old), len(rows)), rng.integers(1, 4, len(rows))
    parts = []
    for rank in range(5):
        shown = counts > rank
        index = (first + rank * step)[shown] % len(old)
        parts.append((rows[shown], np.where(is_icd10[rows[shown]], new[index], old[index])))
    return parts


def claims_table(hospital: Hospital, rng: np.random.Generator) -> pl.DataFrame:
    """The status history of each claim: a row whenever its status changes, the last one final."""
    rows = np.flatnonzero(hospital.has_claim)
    denied = hospital.denied[rows] == 1
    final = np.where(
        denied,
        np.where(
            rng.random(len(rows)) < _FAVORABLE_CHANCE, "final, favorable determination", "final, adverse determination"
        ),
        "final, paid",
    )
    third, fourth = np.where(denied, "denied", "paid"), np.where(denied, "appealed", "")
    statuses = np.stack([np.full(len(rows), "submitted"), np.full(len(rows), "pending"), third, fourth, final], axis=1)
    waits = rng.integers(1, 20, (len(rows), 5)) * DAY_SECONDS + rng.integers(0, 40_000, (len(rows), 5))
    times = hospital.visits.discharge_time[rows][:, None] + np.cumsum(waits, axis=1).astype("timedelta64[s]")
    ids = np.char.add(f"C{hospital.prefix}", np.char.zfill(np.arange(len(rows)).astype(str), 8))
    return pl.DataFrame(
        {
            "claim_id": np.repeat(ids, 5),
            "encounter_id": np.repeat(hospital.encounter_ids[rows], 5),
            "status": statuses.ravel(),
            "status_time": time_texts(times.ravel()),
        }
    ).filter(pl.col("status") != "")


def oracle_table(hospital: Hospital) -> pl.DataFrame:
    """The chances of every class of every label that an encounter has (`schemas.ORACLE`)."""
    visits = hospital.visits
    own = ~visits.is_follow_up
    parts = {
        "readmission": (own & visits.is_asked_about_readmission, _two(visits.p_readmission)),
        "mortality": (own, _two(visits.p_mortality)),
        "length_of_stay": (own, visits.p_stay),
        "comorbidity": (hospital.has_codes, hospital.p_comorbidity),
        "insurance_denial": (hospital.has_claim, _two(hospital.p_denial)),
    }
    ids = hospital.encounter_ids
    return pl.concat(
        [
            pl.DataFrame(
                {
                    "encounter_id": ids[rows],
                    "task": [task] * int(rows.sum()),
                    "probabilities": pl.Series(chances[rows].tolist(), dtype=pl.List(pl.Float64)),
                }
            )
            for task, (rows, chances) in parts.items()
        ]
    )


def _two(probability: np.ndarray) -> np.ndarray:
    return np.stack([1.0 - probability, probability], axis=1)
