"""What the synthetic hospital is asked for: its size, its seed, which of the two sites, and each era's targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FIRST_YEAR, LAST_YEAR = 2003, 2024
SITES = ("main", "external")


class HospitalConfigError(ValueError):
    """The synthetic hospital cannot be built as asked; the message lists every problem."""


@dataclass(frozen=True, kw_only=True)
class HospitalConfig:
    """One synthetic hospital. The same values always give the same bytes."""

    num_encounters: int
    """Admissions over 2003 to 2024, with the follow-up ones of January 2025."""
    seed: int = 3407
    site: str = "main"
    """`main`, or `external`: a second hospital with its own style, codes, prevalences and case mix."""
    dirt_rate: float = 0.012
    """Share of rows that are spoiled on purpose."""

    def __post_init__(self) -> None:
        problems = []
        if self.num_encounters < 200:
            problems.append(f"num_encounters: {self.num_encounters} is too few to calibrate; use at least 200")
        if self.seed < 0:
            problems.append(f"seed: {self.seed} must not be negative")
        if self.site not in SITES:
            problems.append(f"site: found {self.site!r}, expected one of {', '.join(SITES)}")
        if not 0 <= self.dirt_rate <= 0.2:
            problems.append(f"dirt_rate: {self.dirt_rate} must lie between 0 and 0.2")
        if problems:
            raise HospitalConfigError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What an export holds."""

    folder: Path
    num_rows: dict[str, int]
    """Rows a table, dirt included."""
    num_notes_by_year: dict[int, int]
    dirt: dict[str, dict[str, int]]
    """Spoiled rows: table, then kind."""
    files: list[str] = field(default_factory=list)


ERAS = ("before_2013", "main", "late_2021", "between", "2024")
"""Label eras: the class ratios of Tables B3 to B6 hold within each. The paper has none for the first and fourth."""

ERA_STARTS = ("2013-01-01", "2021-06-01", "2022-01-01", "2024-01-01")

CLAIM_ERAS = ("before", "main", "spring_2022", "between", "2024")
"""The eras of Table B7: May 2021 to February 2022, March and April 2022, January 2024 and after."""

CLAIM_ERA_STARTS = ("2021-05-01", "2022-03-01", "2022-05-01", "2024-01-01")


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Class ratios that the intercepts are solved for; one row an era."""

    readmission: tuple[float, ...]
    mortality: tuple[float, ...]
    length_of_stay: tuple[tuple[float, ...], ...]
    comorbidity: tuple[tuple[float, ...], ...]
    insurance_denial: tuple[float, ...]


STAY_BEFORE_DEATH = (0.50, 0.06, 0.08, 0.36)
"""Class ratios of the length of stay of those who die, in every era and at both sites: very sick and dead within two days,
or dead after a long fight. Invented; the paper gives the directions alone (appendix F, Fig. F6a)."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What the simulation needs beside the effects; one row an era."""

    readmission: np.ndarray
    mortality: np.ndarray
    stay_before_discharge: np.ndarray
    """Of those who live: shape (eras, classes)."""
    stay_before_death: np.ndarray
    insurance_denial: np.ndarray
    burden_cuts: np.ndarray
    """Burden at which each group of comorbidity begins: shape (eras, 4)."""
    first_visits: np.ndarray
    """Share of new patients in each of `MONTHS`."""
    encounters_per_patient: float


_LOS_MAIN = (0.417012, 0.176977, 0.165905, 0.240106)
# The last class is 0.00098 here against 0.0006 - 0.0009 in Table B6, within its sampling error at the sizes that are
# simulated: it makes it likelier that validation and test hold the class at all.
_CCI_MAIN = (0.693861, 0.225513, 0.054243, 0.025353, 0.00098)

TARGETS = {
    "main": Targets(
        readmission=(0.1083, 0.10828, 0.111544, 0.112, 0.112885),
        mortality=(0.0190, 0.018852, 0.019307, 0.0185, 0.017759),
        length_of_stay=(
            _LOS_MAIN,
            _LOS_MAIN,
            (0.418597, 0.153201, 0.164805, 0.263397),
            (0.4380, 0.1490, 0.1620, 0.2510),
            (0.456418, 0.144529, 0.159757, 0.239297),
        ),
        comorbidity=(
            _CCI_MAIN,
            _CCI_MAIN,
            # More than 7: 0.0009 in Table B6; the few admissions of these months would then hold one or none.
            (0.685800, 0.228300, 0.059100, 0.025600, 0.001200),
            (0.6850, 0.2230, 0.0630, 0.0276, 0.0014),
            (0.684043, 0.217355, 0.067513, 0.029372, 0.001717),
        ),
        insurance_denial=(0.122, 0.122888, 0.120120, 0.130, 0.138967),
    ),
    # Invented, and different on purpose: sicker, longer stays, fewer denials.
    "external": Targets(
        readmission=(0.135,) * 5,
        mortality=(0.034,) * 5,
        length_of_stay=((0.33, 0.17, 0.20, 0.30),) * 5,
        comorbidity=((0.58, 0.27, 0.09, 0.055, 0.005),) * 5,
        insurance_denial=(0.095,) * 5,
    ),
}


def era_of(days: np.ndarray, starts: tuple[str, ...]) -> np.ndarray:
    """Index of the era that each date (`datetime64[D]`) lies in."""
    return np.searchsorted(np.array(starts, dtype="datetime64[D]"), days, side="right")


MONTHS = np.arange(f"{FIRST_YEAR}-01", f"{LAST_YEAR + 1}-01", dtype="datetime64[M]")


def month_weights() -> np.ndarray:
    """Relative number of admissions in each of `MONTHS`.

    The proportions of Table B1: 101 months of the main window hold 452,824 notes, seven of 2021 hold 53,916, and 2024
    holds 97,586, of which 42,046 with a claim in January alone (so January 2024 is large here too).
    """
    weights = np.ones(len(MONTHS))
    ramp = _month_number("2013-01")
    weights[:ramp] = np.linspace(0.02, 0.7, ramp)
    weights[_month_number("2021-06") : _month_number("2022-05")] = 1.72
    weights[_month_number("2024-01") :] = 1.5
    weights[_month_number("2024-01")] = 5.0
    return weights / weights.sum()


def _month_number(month: str) -> int:
    """Place of a month in `MONTHS`."""
    return int((np.datetime64(month) - MONTHS[0]).astype(int))
