"""How good probabilities are: do they rank, do they mean what they say, are they worth acting on (paper 5.5, appendix E).

Every function takes `y_true`, the labels, int (n,), counted from 0; and `y_prob`, the probabilities, float (n, k), one
column a class in the order of the labels. For two classes `y_prob` may also be (n,): the score of class 1. All raise
`MetricError` when the two do not fit together. numpy only: finetuning uses AUROC on machines that have nothing else.
"""

from lang1_assets.ops.metrics.calibration import (
    NUM_BINS,
    CalibrationCurve,
    calibration_curve,
    positive_ece,
    top_class_ece,
)
from lang1_assets.ops.metrics.discrimination import OneVersusRest, auroc, average_precision, pairwise_auroc
from lang1_assets.ops.metrics.inputs import (
    Floats,
    Integers,
    MetricError,
    absent_classes,
    checked,
    checked_probabilities,
    one_hot,
    prevalence,
)
from lang1_assets.ops.metrics.proper_scores import brier_score, log_loss
from lang1_assets.ops.metrics.recalibration import CalibrationLine, calibration_line
from lang1_assets.ops.metrics.utility import DecisionCurve, decision_curve

__all__ = [
    "NUM_BINS",
    "CalibrationCurve",
    "CalibrationLine",
    "DecisionCurve",
    "Floats",
    "Integers",
    "MetricError",
    "OneVersusRest",
    "absent_classes",
    "auroc",
    "average_precision",
    "brier_score",
    "calibration_curve",
    "calibration_line",
    "checked",
    "checked_probabilities",
    "decision_curve",
    "log_loss",
    "one_hot",
    "pairwise_auroc",
    "positive_ece",
    "prevalence",
    "top_class_ece",
]
