"""Patients: who they are, and what stays with them from one admission to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lang1_assets.ops.hospital.conditions import NUM_FAMILIES

BOROUGHS = ("Manhattan", "Brooklyn", "Queens", "Bronx", "Staten Island", "Long Island", "Other")
_BOROUGH_SHARES = {
    "main": (0.26, 0.30, 0.17, 0.06, 0.04, 0.12, 0.05),
    "external": (0.08, 0.10, 0.12, 0.42, 0.03, 0.05, 0.20),
}
RACES = (
    "White", "African American (Black)", "Other Race", "Asian", "Asian Indian", "Chinese", "Native American (American "
    "Indian/Eskimo/Alaskan Native)", "Native Hawaiian or Other Pacific Islander", "Middle Eastern or North African",
    "Patient Refused", "Unknown",
)  # fmt: skip
_RACE_SHARES = {
    "main": (0.53, 0.13, 0.16, 0.045, 0.02, 0.025, 0.005, 0.005, 0.02, 0.02, 0.04),
    "external": (0.28, 0.31, 0.24, 0.03, 0.02, 0.02, 0.01, 0.005, 0.015, 0.03, 0.04),
}
ETHNICITIES = ("Not of Spanish/Hispanic Origin", "Spanish Hispanic Origin", "Patient Refused", "Unknown")
_ETHNICITY_SHARES = {"main": (0.78, 0.15, 0.03, 0.04), "external": (0.60, 0.33, 0.03, 0.04)}
# Lowest age, width in years and share of each age group; women of childbearing age are frequent.
_AGE_GROUPS = ((0, 4, 0.06), (4, 14, 0.04), (18, 26, 0.34), (44, 21, 0.24), (65, 33, 0.32))
_EXTERNAL_AGE_SHARES = (0.04, 0.03, 0.22, 0.33, 0.38)
_AGE_BURDEN_CORRELATION = 0.55


@dataclass(frozen=True, kw_only=True)
class Patients:
    """One entry a patient."""

    first_age: np.ndarray
    """Years at the first admission, as a fraction."""
    sex: np.ndarray
    """0 for F, 1 for M."""
    race: np.ndarray
    ethnicity: np.ndarray
    borough: np.ndarray
    burden: np.ndarray
    """Chronic burden, a standard normal that rises with age."""
    priority: np.ndarray
    """Gumbel noise that decides which conditions a burden consists of: shape (patients, families)."""

    def __len__(self) -> int:
        return len(self.sex)

    def take(self, rows: np.ndarray) -> Patients:
        return Patients(**{name: values[rows] for name, values in vars(self).items()})


def draw_patients(num: int, site: str, rng: np.random.Generator) -> Patients:
    """New patients of a site."""
    lows, widths, shares = (np.array(column) for column in zip(*_AGE_GROUPS, strict=True))
    shares = np.array(_EXTERNAL_AGE_SHARES) if site == "external" else shares
    group = rng.choice(len(lows), num, p=shares)
    age = lows[group] + widths[group] * rng.random(num)
    sex = (rng.random(num) < np.where(group == 2, 0.25, 0.5)).astype(np.int8)
    correlation = _AGE_BURDEN_CORRELATION
    burden = correlation * (age - 48) / 25 + np.sqrt(1 - correlation**2) * rng.standard_normal(num)
    return Patients(
        first_age=age,
        sex=sex,
        race=rng.choice(len(RACES), num, p=_RACE_SHARES[site]).astype(np.int8),
        ethnicity=rng.choice(len(ETHNICITIES), num, p=_ETHNICITY_SHARES[site]).astype(np.int8),
        borough=rng.choice(len(BOROUGHS), num, p=_BOROUGH_SHARES[site]).astype(np.int8),
        burden=burden,
        priority=rng.gumbel(size=(num, NUM_FAMILIES)).astype(np.float32),
    )
