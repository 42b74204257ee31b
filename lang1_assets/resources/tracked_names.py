"""The names of everything in MLflow, written once: experiments, parameters, tags, metrics (M64). `docs/mlflow.md` explains them.

Tasks and splits are parts of a metric's name and not parameters: a run is one model, and what it scored on every test stands
in one row, to be sorted by any of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

EXPERIMENTS: Mapping[str, str] = {
    "pretrain": "One run for each pretrained model: losses by step. Under it, the benchmark meanwhile (`monitor`).",
    "finetune": "One run for each finetuned model: losses and validation by step. Below it, the trials of its search.",
    "evaluate": "One run for each model on its tests, and for each closer look at one.",
    "study": "One run for each figure or table of the paper that was made again, with its claims.",
    "drift": "One run for each report on a model in service, month by month.",
}
"""One a stage."""

PARAMS: Mapping[str, str] = {
    "profile": "the profile that it was made with",
    "part": "what kind of run it is: see below",
    "variant": "the model's name, in Dagster its partition: a variant of the profile, a model from elsewhere, a baseline",
    "base": "the model that was there before finetuning, or `none`",
    "recipe": "what it was finetuned on: nothing (`zero_shot`), a task, `joint`, `elsewhere_TASK`, `matched_TASK`, `single_task`",
    "kind": "`variant`, `baseline`, or the kind of a model from elsewhere",
    "checkpoint": "of the base's trajectory",
    "detail": "what tells it from others of this base and recipe: a number of labelled notes, another hospital",
    "month": "the dated export that was scored",
    "paper": "the figure or table of the paper",
    "split": "the test that a study reads",
    "start_sha256": "the weights that pretraining went on from",
}
"""Besides those, training runs have their job's settings as dotted names (`training.learning_rate`)."""

TRAINING, TRIAL, MONITOR, TESTS = "training", "trial", "monitor", "tests"
PARTS: Mapping[str, str] = {
    TRAINING: "a pretrained or finetuned model",
    TRIAL: "one learning rate of a search, under its finetuning run",
    MONITOR: "the benchmark during pretraining, under its run",
    TESTS: "a model on the tests: what is compared",
    "scaling": "a model with other pretraining or fewer labelled notes, on the headline test",
    "elsewhere": "a model on another hospital's notes",
    "landed": "the model in service on a dated export",
    "trajectory": "every checkpoint of one pretraining run",
    "perplexity": "how likely a model finds notes and answers",
    "memorization": "what a model has by heart",
    "analysis": "subgroups, patients seen before, months: `detail` says which",
    "study": "a study, or all claims",
    "drift": "a model in service, month by month",
}

RUN_TAG, ASSET_TAG, PARTITION_TAG = "dagster.run_id", "dagster.asset_key", "dagster.partition"
ASSET_URL_TAG, RUN_URL_TAG = "dagster.asset_url", "dagster.run_url"
CURRENT_TAG, SYNTHETIC_TAG = "lang1.current", "lang1.synthetic"
ALERTS_TAG, LAST_ALERT_TAG = "alerts", "alerts.last"
TAGS: Mapping[str, str] = {
    RUN_TAG: "the Dagster run that made it",
    ASSET_TAG: "the asset",
    PARTITION_TAG: "its partition",
    ASSET_URL_TAG: "where a person sees the asset",
    RUN_URL_TAG: "where a person sees the run",
    CURRENT_TAG: "`true` for the last finished run of an asset, a partition and a name; those before it are `false`",
    SYNTHETIC_TAG: "`true` where the notes are the embedded hospital's",
    ALERTS_TAG: "how many alerts there were",
    LAST_ALERT_TAG: "the last of them",
}

METRICS: Mapping[str, str] = {
    "METRIC/TASK/SPLIT": "any metric of `docs/statistics.md`, a task, a split: `auroc/readmission/temporal_2024`; as task also "
    "`mean`, the plain mean over the paper's five tasks of a model that was asked all of them",
    "auroc/TASK/val, auroc_micro/all/val": "validation while a model is finetuned; `auroc/TASK/val` also of monitors",
    "train/NAME, val/loss": "losses, learning rate, gradient norm, speed of training, by step",
    "accuracy/QUESTIONS": "comprehension questions (`comprehension`, `sciq`, `pubmedqa`), of monitors and trajectories; the step "
    "is the tokens seen",
    "perplexity/TASK/SPLIT, bits_per_byte/TASK/SPLIT, answer_perplexity/TASK/SPLIT": "part `perplexity`",
    "exposure/REPEATS, verbatim_trained, verbatim_held_out": "part `memorization`",
    "ANALYSIS/NAME": "counts of part `analysis`",
    "STATISTIC/TASK": "part `drift`; the step is the month",
    "claims/VERDICT": "claims of the paper that hold, do not, or were not tested",
    "alerts/KIND": "1 at each step with an alert",
}

MEAN_TASK, ALL_TASKS = "mean", "all"
MONITOR_PREFIX = "monitor/"


def metric_name(raw: str) -> str:
    """A job's own name for a metric as it is called everywhere, without what MLflow does not allow.

    >>> metric_name("val/auroc/readmission"), metric_name("val/auroc_micro"), metric_name("train/loss")
    ('auroc/readmission/val', 'auroc_micro/all/val', 'train/loss')
    """
    plain = re.sub(r"[^\w\-. /:]", "_", raw)
    if plain == "val/auroc_micro":
        return f"auroc_micro/{ALL_TASKS}/val"
    return re.sub(r"^val/(auroc)/(.+)$", r"\1/\2/val", plain)


def of_test(metric: str, task: str, split: str) -> str:
    """The name of what a model scored on one test.

    >>> of_test("auroc", "readmission", "temporal_2024")
    'auroc/readmission/temporal_2024'
    """
    return f"{metric}/{task}/{split}"
