"""What a report says: plain values, filled from finished artifacts before a line of HTML is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lang1_assets.ops.bootstrap import NUM_RESAMPLES
from lang1_assets.ops.leaderboard import Entry
from lang1_assets.ops.report.study_data import CardText, Memorized, StudyResult
from lang1_assets.ops.results import HEADLINE_SPLIT, JOINT, ResultRow
from lang1_assets.ops.schemas import SPLITS
from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.study.claim import Judged
from lang1_assets.ops.tasks import COMPREHENSION, TASKS, Task


class ReportError(ValueError):
    """Parts that do not make one report."""


@dataclass(frozen=True, kw_only=True)
class ArtifactLink:
    """One artifact behind the report."""

    name: str
    asset_key: str
    fingerprint: str
    created: str = ""
    url: str | None = None
    mlflow_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """One pretrained model, named as in `ResultRow.model`."""

    name: str
    num_parameters: int | None = None
    num_tokens: int | None = None
    """Tokens it was pretrained on."""
    validation_loss: float | None = None
    """Held-out loss a token, in nats, mean over sources."""
    validation_perplexity: float | None = None
    mlflow_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """Loss along pretraining; `tokens` and `losses` have one length."""

    name: str
    tokens: tuple[int, ...]
    losses: tuple[float, ...]
    """Nats a token."""
    is_held_out: bool


@dataclass(frozen=True, kw_only=True)
class TrajectoryPoint:
    """One checkpoint on the questions or on one task, zero-shot."""

    name: str
    """In `tasks.COMPREHENSION`, or a task."""
    tokens: int
    value: float
    """Accuracy or AUROC."""
    low: float
    high: float
    """95 %."""
    n: int
    """Questions or notes."""
    chance: float


@dataclass(frozen=True, kw_only=True)
class CalibrationPoint:
    """One bin of a reliability curve."""

    mean_predicted: float
    fraction_positive: float
    count: int


@dataclass(frozen=True, kw_only=True)
class TaskCalibration:
    """One reliability curve: a model on a task and a split."""

    model: str
    trained_on: str | None
    """`joint`, a task, or None for zero-shot, as in `ResultRow`."""
    task: str
    split: str
    points: tuple[CalibrationPoint, ...]
    ece_top_class: float
    ece_positive: float | None
    """Two classes only."""


@dataclass(frozen=True, kw_only=True)
class CohortCount:
    """Notes and patients of one split of one task, to stand beside Tables B1 - B7."""

    task: str
    split: str
    notes_by_label: tuple[int, ...]
    """In the order of the task's options; 0 for an option that no note has."""
    num_patients: int

    @property
    def num_notes(self) -> int:
        return sum(self.notes_by_label)


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """Rows into and out of one stage; what is missing is among the rejects."""

    name: str
    num_in: int
    num_out: int


@dataclass(frozen=True, kw_only=True)
class RejectCount:
    """Rows that one stage left out for one reason."""

    source: str
    reason: str
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything on the page. A part that is empty or None is said to be missing, and why.

    Raises:
        ReportError: splits and switched-off tasks that cannot be, all of them named.
    """

    title: str
    profile: str
    is_synthetic: bool
    """True for the embedded hospital: the page then says so in its first line."""
    created: str
    """When the report was made, for people: `2026-01-31 14:05 UTC`."""
    model: str
    """The model the charts are about; others are in the tables."""
    rows: tuple[ResultRow, ...]
    num_resamples: int = NUM_RESAMPLES
    """Behind each interval in `rows`."""
    headline_split: str = HEADLINE_SPLIT
    """The test on which results are compared."""
    splits: tuple[str, ...] = SPLITS
    """The splits that the source has, in order; those after `val` are tests."""
    split_titles: SplitTitles = field(default_factory=SplitTitles)
    switched_off: Mapping[str, str] = field(default_factory=dict)
    """Task -> why the source cannot supply it: `the source has no claims that passed staging`."""
    leaderboard: tuple[Entry, ...] = ()
    """Every evaluated model on the headline test, those from elsewhere included."""
    models: tuple[ModelSummary, ...] = ()
    artifacts: tuple[ArtifactLink, ...] = ()
    calibration: tuple[TaskCalibration, ...] = ()
    cohorts: tuple[CohortCount, ...] = ()
    stages: tuple[StageCount, ...] = ()
    rejects: tuple[RejectCount, ...] = ()
    loss_curves: tuple[LossCurve, ...] = ()
    trajectory: tuple[TrajectoryPoint, ...] = ()
    studies: tuple[StudyResult, ...] = ()
    """Of the paper's figures, in its order; then the analyses."""
    claims: tuple[Judged, ...] = ()
    memorized: tuple[Memorized, ...] = ()
    cards: tuple[CardText, ...] = ()
    left_out: tuple[str, ...] = ()
    """Artifacts that are there and not shown, for they were made of earlier models or inputs."""
    dagster_url: str | None = None
    mlflow_url: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """Anything else of the run worth a line at the top: number of encounters, wall time."""

    def __post_init__(self) -> None:
        problems = []
        if self.headline_split not in self.test_splits:
            problems.append(
                f"headline_split '{self.headline_split}' is no test split; splits are {', '.join(self.splits)}, "
                "and those after val are tests"
            )
        unknown = [task for task in self.switched_off if task not in TASKS]
        if unknown:
            problems.append(f"switched_off: no such task: {', '.join(unknown)}; expected {', '.join(TASKS)}")
        if problems:
            raise ReportError("; ".join(problems))

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks that the source can supply; only these have rows, charts and cohorts on the page."""
        return {name: task for name, task in TASKS.items() if name not in self.switched_off}

    @property
    def study_names(self) -> frozenset[str]:
        return frozenset(study.name for study in self.studies)

    @property
    def comprehension(self) -> dict[str, tuple[TrajectoryPoint, ...]]:
        """Set of questions -> its points along the checkpoints."""
        found = {name: tuple(p for p in self.trajectory if p.name == name) for name in COMPREHENSION}
        return {name: points for name, points in found.items() if points}

    @property
    def zero_shot_trajectory(self) -> dict[str, tuple[TrajectoryPoint, ...]]:
        """Task -> its points along the checkpoints."""
        names = dict.fromkeys(point.name for point in self.trajectory if point.name in self.tasks)
        return {name: tuple(point for point in self.trajectory if point.name == name) for name in names}

    @property
    def test_splits(self) -> tuple[str, ...]:
        return self.splits[self.splits.index("val") + 1 :] if "val" in self.splits else ()

    def titled(self, title: str) -> str:
        """The title of a section with measured numbers, which somebody may print or send alone."""
        return f"{title} (synthetic data)" if self.is_synthetic else title

    @property
    def headline_title(self) -> str:
        return self.split_titles.test(self.headline_split, self.tasks)

    @property
    def curves(self) -> tuple[TaskCalibration, ...]:
        """The reliability curves that the page shows: of its model, on the headline test."""
        return tuple(
            curve
            for curve in self.calibration
            if (curve.model, curve.split) == (self.model, self.headline_split) and curve.task in self.tasks
        )


def left_out_line(data: ReportData, assets: str) -> tuple[str, ...]:
    """What of these assets is not shown although it is there: a line, or none.

    Args:
        assets: a regular expression of the first part of the names.
    """
    names = [name for name in data.left_out if re.fullmatch(assets, name.split("/")[0])]
    return (f"Left out, for the models or inputs behind it were made anew since: {', '.join(names)}.",) if names else ()


def modes_trained_on(rows: Sequence[ResultRow], model: str) -> list[str | None]:
    """What this model's rows were finetuned on: None (zero-shot) first, then single tasks, then joint."""
    found = dict.fromkeys(row["trained_on"] for row in rows if row["model"] == model)
    order = [None, *TASKS, JOINT]
    return sorted(found, key=order.index)
