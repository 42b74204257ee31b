"""Which notes are labelled, how, and into which splits (paper 5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from lang1_assets.ops.schemas import DEVELOPMENT_SPLITS, SPLITS
from lang1_assets.ops.split_titles import SplitTitles, titles_of_windows
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.settings.section import DateWindow, PositiveInt, Section

NoteChoice = Literal["first", "last", "all", "preferred"]
EncounterClass = Literal["inpatient", "emergency", "observation", "outpatient", "other"]
Hours = Annotated[int, Field(ge=0, le=876_000)]
"""Up to a hundred years."""


def _check_windows(windows: Mapping[Any, Mapping[str, DateWindow]]) -> None:
    names = ("development", "temporal_2021", "temporal_2024")
    if set(windows) != {"inpatient", "insurance_denial"} or any(set(held) != set(names) for held in windows.values()):
        raise ValueError(
            "split_windows: give inpatient and insurance_denial, each with development, temporal_2021 and temporal_2024 as "
            "[first day, day after the last]"
        )
    for name, held in windows.items():
        edges = [day for split in names for day in held[split]]
        if edges != sorted(edges) or any(first == last for first, last in held.values()):
            raise ValueError(
                f"split_windows.{name}: each window must end after it begins, and before the next one begins"
            )


class Cohorts(Section):
    """Choices where the paper leaves room (sections 5.2.2, 5.2.3); the defaults are its letter."""

    stay_classes: Annotated[tuple[EncounterClass, ...], Field(min_length=1)] = ("inpatient",)
    """Encounter classes that are hospital stays, as index stays and as readmissions alike."""
    splits: Literal["calendar", "shares"] = "calendar"
    """`calendar`: development and temporal tests by discharge date. `shares`: one development set, for shifted dates."""
    split_windows: dict[Literal["inpatient", "insurance_denial"], dict[str, DateWindow]] = {
        "inpatient": {
            "development": (date(2013, 1, 1), date(2021, 6, 1)),
            "temporal_2021": (date(2021, 6, 1), date(2022, 1, 1)),
            "temporal_2024": (date(2024, 1, 1), date(2025, 1, 1)),
        },
        "insurance_denial": {
            "development": (date(2021, 5, 1), date(2022, 3, 1)),
            "temporal_2021": (date(2022, 3, 1), date(2022, 5, 1)),
            "temporal_2024": (date(2024, 1, 1), date(2024, 2, 1)),
        },
    }
    """Windows of the discharge date, last day excluded; the split `temporal_2021` or `temporal_2024` may lie in other years."""
    split_shares: dict[str, tuple[PositiveInt, PositiveInt, PositiveInt]] = {task: (80, 10, 10) for task in REMEDE}
    """Percent of the development window in train, val and test."""
    split_by: Literal["note", "patient"] = "note"
    """The paper splits notes, because patients do come back to a deployed model (appendix L)."""
    hp_max_hours_before_admission: Hours = 720
    hp_max_hours_after_admission: Hours = 24
    """An H&P written outside these hours is not an admission note."""
    hp_when_several: NoteChoice = "first"
    """Which H&P stands for its stay; `preferred` follows the source's own order (MIMIC-III, 5.2.3)."""
    discharge_note_when_several: NoteChoice = "last"
    discharge_note_max_hours_after_discharge: Hours = 24
    """A discharge note signed later may already know what came next."""
    readmission_days: Annotated[int, Field(gt=0, le=3650)] = 30
    readmission_excluded_departments: tuple[str, ...] = ("Rehabilitation", "Dialysis", "Palliative Care")
    readmission_ignored_admission_types: tuple[str, ...] = ()
    """Admissions of these types are no readmissions: elective ones, say. All-cause by default."""
    readmission_minimum_gap_hours: Hours = 0
    """An admission within these hours of the discharge is a transfer and no readmission."""
    readmission_censored: Literal["drop", "keep"] = "drop"
    """Stays whose window ends after their follow-up does."""
    readmission_deaths_in_window: Literal["negative", "drop"] = "negative"
    """Patients who died at home within the window."""
    readmission_excludes_deaths: bool = True
    """Patients who died in hospital cannot return."""
    death_dispositions: Annotated[tuple[str, ...], Field(min_length=1)] = ("Expired",)
    denial_claim_statuses: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "final, adverse determination",
        "final, favorable determination",
    )
    unknown_claim_statuses: Literal["negative", "drop"] = "negative"
    """Claims with another status: negative (the paper), or dropped unless in `known_negative_claim_statuses`."""
    known_negative_claim_statuses: tuple[str, ...] = ("approved", "paid", "final, paid", "final, approved")
    length_of_stay_unit: Literal["calendar_days", "elapsed_days"] = "calendar_days"
    """Whole days between dates, or hours / 24 with the bins as upper bounds (MIMIC-III, 5.2.3)."""

    @field_validator("split_shares", mode="before")
    @classmethod
    def _other_tasks_keep_theirs(cls, value: Any) -> Any:
        return {**{task: (80, 10, 10) for task in REMEDE}, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _shares_add_up(self) -> Cohorts:
        missing = [f"{task} (no such task)" for task in self.split_shares if task not in REMEDE]
        wrong = [task for task, shares in self.split_shares.items() if sum(shares) != 100]
        if missing or wrong:
            raise ValueError(
                f"split_shares: give three percentages that add up to 100 for {', '.join(missing + wrong)}"
            )
        if self.readmission_minimum_gap_hours >= 24 * self.readmission_days:
            raise ValueError("readmission_minimum_gap_hours leaves nothing of readmission_days; lower it")
        both = {text.lower() for text in self.denial_claim_statuses} & {
            text.lower() for text in self.known_negative_claim_statuses
        }
        if both:
            raise ValueError(
                f"denial_claim_statuses and known_negative_claim_statuses both hold {', '.join(sorted(both))}"
            )
        _check_windows(self.split_windows)
        return self

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that a cohort has."""
        return SPLITS if self.splits == "calendar" else DEVELOPMENT_SPLITS

    @property
    def test_splits(self) -> tuple[str, ...]:
        return self.split_names[2:]

    @property
    def headline_split(self) -> str:
        """The test on which results are compared: the latest one."""
        return self.split_names[-1]

    @property
    def split_titles(self) -> SplitTitles:
        """What the tests are called in print."""
        if self.splits == "shares":
            return SplitTitles()
        denial = {"insurance_denial": self.split_windows["insurance_denial"]}
        return titles_of_windows(self.split_windows["inpatient"], denial)

    def headline_title(self, tasks: Iterable[str]) -> str:
        """The headline split of these tasks in prose, after "the": `2024 test`."""
        return self.split_titles.test(self.headline_split, tasks)
