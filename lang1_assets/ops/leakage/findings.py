"""What a leak check is asked with and what it answers: limits, one finding, and the shapes that most findings have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

Severity = Literal["error", "warn"]
Cell = float | int | str | None


class LeakageError(ValueError):
    """Examples and timing cannot be checked: they are empty or do not belong together."""


@dataclass(frozen=True, kw_only=True)
class LeakLimits:
    """What the cohort was built with, and from where on a number is a question."""

    hp_max_hours_before_admission: float
    hp_max_hours_after_admission: float
    discharge_note_max_hours_after_discharge: float
    readmission_days: int
    has_shifted_dates: bool = False
    """Each patient's dates are shifted by an amount of their own: no one's end of follow-up is known."""
    strict_follow_up: bool = False
    """Also ask complete follow-up of readmitted patients, whose label is known without it."""
    timing_auroc: tuple[float, float] = (0.45, 0.55)
    """Lead time may predict the class this well; asked when the interval lies outside."""
    timing_distance: float = 0.15
    """Largest difference of the two classes' distribution functions (Kolmogorov-Smirnov) that goes unasked."""
    masking_cost: float = 0.02
    """AUROC that masking may cost."""
    metadata_auroc: float = 0.75
    metadata_auroc_impossible: float = 0.95
    suspicious_auroc: float = 0.98
    min_notes: int = 30
    """Groups smaller than this are not judged."""
    max_train_notes: int = 20_000
    max_test_notes: int = 10_000
    max_compared_notes: int = 30_000
    """Of the training notes, and of the others, that are compared for near-duplicates."""
    num_permutations: int = 40
    max_permuted_notes: int = 2_000


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """The outcome of one check."""

    name: str
    passed: bool
    severity: Severity
    """How bad it is if it did not pass."""
    message: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)
    table: tuple[dict[str, Cell], ...] = ()


def broken_fact(
    name: str, notes: pl.DataFrame, is_broken: pl.Expr, message: str, **numbers: float | int | str
) -> LeakCheck:
    """An 'error' that counts the notes for which `is_broken`; unknown counts as broken."""
    judged = notes.select("note_id", "split", broken=is_broken.fill_null(True))
    broken = judged.filter("broken")["note_id"]
    by_split = judged.group_by("split").agg(num_notes=pl.len(), num_broken=pl.col("broken").sum()).sort("split")
    first = f" (first: note_id {broken[0]})" if len(broken) else ""
    return LeakCheck(
        name=name,
        passed=len(broken) == 0,
        severity="error",
        message=f"{len(broken):,} of {len(judged):,} notes {message}{first}",
        numbers={"num_notes": len(judged), "num_broken": len(broken), **numbers},
        table=tuple(by_split.to_dicts()),
    )


def cannot_tell(name: str, severity: Severity, why: str) -> LeakCheck:
    return LeakCheck(name=name, passed=True, severity=severity, message=f"cannot tell: {why}")
