"""Admissions of the synthetic hospital, in rounds: every round holds the next admission of the patients who return."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lang1_assets.ops.hospital import comorbidity, facts, outcomes
from lang1_assets.ops.hospital.config import ERA_STARTS, LAST_YEAR, MONTHS, Calibration, era_of
from lang1_assets.ops.hospital.facts import People
from lang1_assets.ops.hospital.population import Patients
from lang1_assets.ops.hospital.scenarios import ACCESS, NOT_ACUTE, scenario_table

DAY = np.timedelta64(86400, "s")
END = np.datetime64(f"{LAST_YEAR + 1}-01-01T00:00:00")
FOLLOW_UP_END = END + 30 * DAY
"""Later admissions are not exported; those of January 2025 only say who was readmitted."""
READMISSION_DAYS = 30
LATE_RETURN_CHANCE = 0.30
_LATE_RETURN_MEAN_DAYS = 380
SAME_DAY_DEATHS = 0.12
"""Of the deaths within two days, those on the day of admission: more than the 0.08 of survivors' short stays (Fig. F6b)."""
_BURDEN_PERSISTENCE = 0.95
_MAXIMUM_ROUNDS = 60


@dataclass(frozen=True, kw_only=True)
class Visits:
    """One entry an admission."""

    patient: np.ndarray
    """Row of the patient."""
    sex: np.ndarray
    priority: np.ndarray
    people: People
    facts: dict[str, np.ndarray]
    stated: np.ndarray
    """What the notes say of each family of conditions (see `comorbidity`)."""
    admit_time: np.ndarray
    discharge_time: np.ndarray
    p_mortality: np.ndarray
    p_stay: np.ndarray
    """Given the facts alone: who dies and who lives, mixed by `p_mortality`."""
    p_readmission: np.ndarray
    died: np.ndarray
    stay: np.ndarray
    """Class of the length of stay."""
    readmitted: np.ndarray
    is_follow_up: np.ndarray
    """Admitted after the last discharge that is asked about: no notes, codes or claims."""

    def __len__(self) -> int:
        return len(self.patient)

    @property
    def is_dialysis(self) -> np.ndarray:
        return self.people.scenario == ACCESS

    @property
    def is_asked_about_readmission(self) -> np.ndarray:
        """Discharged alive from an acute department."""
        return (self.died == 0) & ~NOT_ACUTE[self.people.scenario]

    def take(self, rows: np.ndarray) -> Visits:
        return Visits(**{field.name: _take(getattr(self, field.name), rows) for field in fields(self)})


def _take(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, dict):
        return {name: column[rows] for name, column in values.items()}
    if isinstance(values, People):
        return People(**{name: column[rows] for name, column in vars(values).items()})
    return values[rows]


def _join(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in first}
    if isinstance(first, People):
        return People(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(first)})
    return np.concatenate(parts)


def join_visits(parts: list[Visits]) -> Visits:
    """Admissions of several rounds as one."""
    return Visits(**{field.name: _join([getattr(part, field.name) for part in parts]) for field in fields(Visits)})


def simulate(patients: Patients, site: str, calibration: Calibration, rng: np.random.Generator) -> Visits:
    """Admissions of `patients` in rounds, until nobody returns before the end."""
    first = _draw_first_admissions(len(patients), calibration, rng)
    rows, admit, rounds = np.arange(len(patients)), first, []
    for _ in range(_MAXIMUM_ROUNDS):
        visits = admit_round(patients, rows, first, admit, site, calibration, rng)
        rounds.append(visits)
        rows, admit = _next_admissions(visits, rng)
        if not len(rows):
            break
    return join_visits(rounds)


def simulate_month(
    patients: Patients, month: np.datetime64, site: str, calibration: Calibration, rng: np.random.Generator
) -> Visits:
    """Admissions that end in one month, and the returns within 30 days of them as follow-up."""
    num = len(patients)
    start, length = month.astype("datetime64[s]"), ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]"))
    wanted = start + (rng.random(num) * length.astype(int)).astype(int) * DAY
    rows = np.arange(num)
    draft = admit_round(patients, rows, wanted, wanted, site, calibration, rng)
    shift = wanted.astype("datetime64[D]") - draft.discharge_time.astype("datetime64[D]")
    visits = _shifted(draft, shift.astype("timedelta64[s]"))
    again, admit = _next_admissions(visits, rng, end=np.datetime64("9999-01-01"))
    soon = visits.readmitted[again] == 1
    returns = admit_round(patients, again[soon], wanted, admit[soon], site, calibration, rng)
    follow_up = Visits(**{**vars(returns), "is_follow_up": np.ones(len(returns), dtype=bool)})
    return join_visits([visits, follow_up])


def _shifted(visits: Visits, shift: np.ndarray) -> Visits:
    times = {"admit_time": visits.admit_time + shift, "discharge_time": visits.discharge_time + shift}
    return Visits(**{**vars(visits), **times, "is_follow_up": np.zeros(len(visits), dtype=bool)})


def _draw_first_admissions(num: int, calibration: Calibration, rng: np.random.Generator) -> np.ndarray:
    month = MONTHS[np.searchsorted(np.cumsum(calibration.first_visits)[:-1], rng.random(num), side="right")]
    days = (month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")
    day = month.astype("datetime64[D]") + (rng.random(num) * days.astype(int)).astype(int)
    return day.astype("datetime64[s]") + (rng.random(num) * 86399).astype(int).astype("timedelta64[s]")


def admit_round(
    patients: Patients,
    rows: np.ndarray,
    first: np.ndarray,
    admit: np.ndarray,
    site: str,
    calibration: Calibration,
    rng: np.random.Generator,
) -> Visits:
    """One admission of each patient in `rows`, at the times `admit`: facts, outcomes, discharge."""
    era = era_of(admit.astype("datetime64[D]"), ERA_STARTS)
    patient = patients.take(rows)
    people = _draw_people(patient, (admit - first[rows]) / DAY / 365.25, site, rng)
    levels = facts.draw_facts(people, rng)
    group = (people.burden[:, None] >= calibration.burden_cuts[era]).sum(axis=1)
    stated = comorbidity.draw_conditions(group, people.age, patient.priority, people.scenario == ACCESS, rng)
    p_mortality = outcomes.expit(facts.mortality_score(people, levels, stated) + calibration.mortality[era])
    stay_score = facts.stay_score(people, levels)
    stay_alive = outcomes.softmax(stay_score + calibration.stay_before_discharge[era])
    stay_dead = outcomes.softmax(stay_score + calibration.stay_before_death[era])
    p_readmission = outcomes.expit(facts.readmission_score(people, levels, stated) + calibration.readmission[era])
    died = outcomes.draw_by_era(p_mortality, era, rng)
    stay = _draw_stays(stay_alive, stay_dead, died, era, rng)
    admit, discharge = _stay_times(admit, stay, died, rng)
    return Visits(
        patient=rows,
        sex=patient.sex,
        priority=patient.priority,
        people=people,
        facts=levels,
        stated=stated,
        admit_time=admit,
        discharge_time=discharge,
        p_mortality=p_mortality,
        p_stay=stay_alive + p_mortality[:, None] * (stay_dead - stay_alive),
        p_readmission=p_readmission,
        died=died,
        stay=stay,
        readmitted=_draw_readmissions(p_readmission, died, people.scenario, era, rng),
        is_follow_up=admit >= END,
    )


def _draw_people(patient: Patients, years: np.ndarray, site: str, rng: np.random.Generator) -> People:
    age = np.minimum(np.floor(patient.first_age + years), 99).astype(int)
    table = scenario_table(site)[patient.sex, age]
    noise = np.sqrt(1 - _BURDEN_PERSISTENCE**2) * rng.standard_normal(len(age))
    return People(
        age=age,
        burden=_BURDEN_PERSISTENCE * patient.burden + noise,
        scenario=(rng.random((len(age), 1)) >= table).sum(axis=1).clip(max=table.shape[1] - 1),
    )


def _draw_stays(
    alive: np.ndarray, dead: np.ndarray, died: np.ndarray, era: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Classes of stay, drawn after death: those who die stay shortly or long (appendix F)."""
    stay = np.zeros(len(died), dtype=np.int8)
    for outcome, probability in enumerate((alive, dead)):
        rows = np.flatnonzero(died == outcome)
        stay[rows] = outcomes.draw_by_era(probability[rows], era[rows], rng)
    return stay


def _draw_readmissions(
    probability: np.ndarray, died: np.ndarray, scenario: np.ndarray, era: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    readmitted = np.zeros(len(probability), dtype=np.int8)
    for asked in (NOT_ACUTE[scenario], ~NOT_ACUTE[scenario]):
        alive = np.flatnonzero(asked & (died == 0))
        readmitted[alive] = outcomes.draw_by_era(probability[alive], era[alive], rng)
    return readmitted


def _stay_times(
    admit: np.ndarray, stay: np.ndarray, died: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Times with the calendar days of the class of stay; a stay of no day begins early and ends late on one date."""
    num = len(admit)
    same_day_share = np.where(died == 1, SAME_DAY_DEATHS, 0.08)
    point = rng.random(num)
    short = np.where(point < same_day_share, 0, np.where(point < 0.50, 1, 2))
    days = np.choose(stay, [short, np.full(num, 3), rng.integers(4, 6, num), 5 + rng.geometric(0.17, num)])
    date = admit.astype("datetime64[D]").astype("datetime64[s]")
    early = date + (rng.random(num) * 9 * 3600).astype(int)
    admit = np.where(days == 0, early, admit)
    leaving = (9.5 + 10.4 * rng.random(num)) * 3600
    same_day = (15 + 6 * rng.random(num)) * 3600
    return admit, date + days * DAY + np.where(days == 0, same_day, leaving).astype(int).astype("timedelta64[s]")


def _next_admissions(
    visits: Visits, rng: np.random.Generator, end: np.datetime64 = END
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of patients who come back, and when: within 30 days if readmitted, else later or never."""
    num = len(visits)
    soon = (0.8 + (READMISSION_DAYS - 1.5) * rng.random(num)) * 86400
    late = (READMISSION_DAYS + 2 + rng.exponential(_LATE_RETURN_MEAN_DAYS, num)) * 86400
    again = visits.readmitted == 1
    returns = again | ((visits.died == 0) & (rng.random(num) < LATE_RETURN_CHANCE))
    admit = visits.discharge_time + np.where(again, soon, late).astype(int).astype("timedelta64[s]")
    last = np.where(again, max(end, FOLLOW_UP_END), end)
    keep = returns & ~visits.is_follow_up & (admit < last)
    return visits.patient[keep], admit[keep]
