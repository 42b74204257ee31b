"""The studies by the names of their assets; nothing else is imported here."""

STUDY_NAMES = (
    "zero_shot_comparison",
    "finetuned_comparison",
    "emergence",
    "token_budget",
    "data_efficiency",
    "answer_perplexity_study",
    "transfer",
    "other_hospital",
    "temporal_decay",
    "ablations",
    "calibration",
)
"""In the order of the paper."""
ANALYSIS_NAMES = ("label_dependence", "strata", "patient_overlap")
"""Analyses of their own that the paper draws too; in its order."""
