"""The evaluation report: one self-contained HTML page, the same as Markdown, and `results.json`."""

from lang1_assets.ops.report.data import (
    ArtifactLink,
    CalibrationPoint,
    CohortCount,
    LossCurve,
    ModelSummary,
    RejectCount,
    ReportData,
    ReportError,
    StageCount,
    TaskCalibration,
    TrajectoryPoint,
)
from lang1_assets.ops.report.page import write_report
from lang1_assets.ops.report.sources import cohort_counts, read_loss_curves, reject_counts, task_calibrations
from lang1_assets.ops.report.study_data import CardText, Memorized, StudyResult

__all__ = [
    "ArtifactLink",
    "CalibrationPoint",
    "CardText",
    "CohortCount",
    "LossCurve",
    "Memorized",
    "ModelSummary",
    "RejectCount",
    "ReportData",
    "ReportError",
    "StageCount",
    "StudyResult",
    "TaskCalibration",
    "TrajectoryPoint",
    "cohort_counts",
    "read_loss_curves",
    "reject_counts",
    "task_calibrations",
    "write_report",
]
