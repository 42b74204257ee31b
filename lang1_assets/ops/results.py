"""From predictions to the rows of `results.json`, the file beside every report.

A row is one number: which model, zero-shot or finetuned (and on what), which task and split, which metric, its value,
its 95 % interval and the oracle's value of the same metric on the same notes. Everything is rebuilt from the prediction
files alone; no note text comes near.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

import numpy as np
import polars as pl

from lang1_assets.ops import metrics
from lang1_assets.ops.bootstrap import NUM_RESAMPLES, Interval, percentile_interval
from lang1_assets.ops.metrics import Floats, Integers
from lang1_assets.ops.metrics.utility import THRESHOLDS
from lang1_assets.ops.resampled_metrics import benefit_name, class_name, metric_distributions, metric_values
from lang1_assets.ops.schemas import SPLITS
from lang1_assets.ops.tasks import OPTION_LETTERS, TASKS

Mode = Literal["zero_shot", "finetuned"]
ZERO_SHOT: Mode = "zero_shot"
FINETUNED: Mode = "finetuned"
JOINT = "joint"
OWN_TASK = "single_task"
"""Trained on, of a baseline: it is a model a task, and each row's was trained on the row's own."""
HEADLINE_SPLIT = "temporal_2024"
"""The split that every headline number of the paper is on (5.5); a source without temporal splits has `test`."""

AUROC = "auroc"
METRICS: dict[str, str] = {
    AUROC: "AUROC",
    "auroc_micro": "AUROC, micro-averaged",
    "auprc": "Average precision",
    "ece_top_class": "ECE of the top class",
    "ece_positive": "ECE of the positive class",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "calibration_in_the_large": "Calibration in the large",
    "brier": "Brier score",
    "log_loss": "Log loss",
    **{benefit_name(at): f"Net benefit at a risk of {at:.0%}" for at in THRESHOLDS},
    **{class_name(k): f"AUROC, option {letter} against the others" for k, letter in enumerate(OPTION_LETTERS)},
}
"""Metric name -> its name in print. `auroc_class_K` is of label K, the option of that place. Two calibration errors, never mixed;
docs/statistics.md says what each one is."""


class ResultRow(TypedDict, total=False):
    """One row of `results.json`; `asset_url` and `mlflow_url` may be missing, the others are always there."""

    model: str
    mode: Mode
    trained_on: str | None
    """`joint`, the one task it was finetuned on, or None for zero-shot."""
    task: str
    split: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    """95 %, of resampled notes, as the paper has it (5.5)."""
    standard_deviation: float | None
    """Of the resamples: `value` +- 1.96 of them is the normal interval."""
    low_by_patient: float | None
    high_by_patient: float | None
    """95 %, of resampled patients: wider where patients return."""
    n: int
    oracle: float | None
    """The same metric of the oracle's probabilities; None where no oracle is known."""
    oracle_n: int
    """Notes the oracle knows; the same as `n`, or the oracle is of fewer notes."""
    classes_absent: list[str]
    """Options that no note of this task and split has."""
    resamples_left_out: int
    asset_url: str | None
    mlflow_url: str | None


class ResultsError(ValueError):
    """Predictions or a results file that cannot be used."""


def result_rows(
    predictions: pl.DataFrame,
    *,
    model: str,
    mode: Mode,
    trained_on: str | None,
    oracle: pl.DataFrame | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> list[ResultRow]:
    """Every metric of every task and split in `predictions` (`schemas.PREDICTIONS`).

    `oracle` has `note_id`, `task`, `probabilities`: what the embedded hospital knows about each note.
    """
    rows: list[ResultRow] = []
    for (task, split), group in predictions.group_by("task", "split", maintain_order=True):
        labels, probabilities = labels_and_probabilities(group)
        known = oracle_arrays(group, oracle, str(task))
        values = metric_values(labels, probabilities)
        ceiling = metric_values(*known) if known else {}
        intervals, by_patient = metric_intervals(labels, probabilities, group["subject_id"], num_resamples, seed)
        absent = metrics.absent_classes(labels, probabilities.shape[1])
        for metric, value in values.items():
            row: ResultRow = {
                "model": model,
                "mode": mode,
                "trained_on": str(task) if trained_on == OWN_TASK else trained_on,
                "task": str(task),
                "split": str(split),
                "metric": metric,
                "value": finite(value),
                "low": finite(intervals[metric].low),
                "high": finite(intervals[metric].high),
                "standard_deviation": finite(intervals[metric].standard_deviation),
                "low_by_patient": finite(by_patient[metric].low),
                "high_by_patient": finite(by_patient[metric].high),
                "n": len(labels),
                "oracle": finite(ceiling.get(metric)),
                "oracle_n": len(known[0]) if known else 0,
                "classes_absent": [TASKS[str(task)].options[k] for k in absent],
                "resamples_left_out": intervals[metric].num_left_out,
            }
            rows.append(row)
    return rows


def metric_intervals(
    labels: Integers, probabilities: Floats, patients: pl.Series, num_resamples: int, seed: int
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Of each metric, from resampled notes and from resampled patients."""
    by_note = distributions(labels, probabilities, num_resamples, seed)
    if patients.n_unique() == len(patients):
        return by_note, by_note
    codes = patients.rank("dense").to_numpy()
    return by_note, distributions(labels, probabilities, num_resamples, seed, codes)


def distributions(
    labels: Integers, probabilities: Floats, num_resamples: int, seed: int, clusters: Any = None
) -> dict[str, Interval]:
    found = metric_distributions(labels, probabilities, num_resamples=num_resamples, seed=seed, clusters=clusters)
    return {metric: percentile_interval(values) for metric, values in found.items()}


def labels_and_probabilities(group: pl.DataFrame) -> tuple[Integers, Floats]:
    """(n,) and (n, k) from rows of one task.

    Raises:
        ResultsError: a row has not as many probabilities as its task has options.
    """
    task = TASKS[group["task"][0]]
    wrong = group.filter(pl.col("probabilities").list.len() != task.num_classes)
    if not wrong.is_empty():
        raise ResultsError(
            f"predictions of {task.name}: note {wrong['note_id'][0]} has {len(wrong['probabilities'][0])} "
            f"probabilities, expected {task.num_classes} (version {task.version} of the task); score it again"
        )
    return group["label"].to_numpy().astype(np.int64), stacked(group["probabilities"], task.num_classes)


def stacked(column: pl.Series, num_classes: int) -> Floats:
    """A list column as (n, num_classes)."""
    return column.explode().cast(pl.Float64).to_numpy().reshape(-1, num_classes)


def oracle_arrays(group: pl.DataFrame, oracle: pl.DataFrame | None, task: str) -> tuple[Integers, Floats] | None:
    """Labels and oracle probabilities of the notes of `group` that the oracle knows; None when it knows none."""
    if oracle is None:
        return None
    own = oracle.filter(pl.col("task") == task).select("note_id", "probabilities")
    twice = own.filter(pl.col("note_id").is_duplicated())
    if not twice.is_empty():
        raise ResultsError(f"oracle of {task}: note {twice['note_id'][0]} is there more than once; expected once")
    known = group.select("note_id", "label", "task").join(own, on="note_id", maintain_order="left")
    return labels_and_probabilities(known) if not known.is_empty() else None


def finite(value: float | None) -> float | None:
    """JSON has no NaN: a number that does not exist is null."""
    return value if value is not None and math.isfinite(value) else None


def write_results(path: Path, rows: Sequence[ResultRow], switched_off: Mapping[str, str] | None = None) -> None:
    """`{"rows": [...]}` as strict JSON, complete or not there at all.

    Where the source cannot supply a task, also `"switched_off"`: task -> reason.
    """
    content: dict[str, Any] = {"rows": list(rows)}
    if switched_off:
        content["switched_off"] = dict(switched_off)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def read_results(path: Path) -> list[ResultRow]:
    """The rows of a file that `write_results` wrote.

    Raises:
        ResultsError: it is missing, no JSON, or has no `rows`.
    """
    return cast(list[ResultRow], _read(path)["rows"])


def read_switched_off(path: Path) -> dict[str, str]:
    """Task -> why the source cannot supply it, from a file that `write_results` wrote.

    Raises:
        ResultsError: as `read_results`.
    """
    return cast(dict[str, str], _read(path).get("switched_off", {}))


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ResultsError(f"{path}: no results here; materialize the report first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ResultsError(f"{path}, line {error.lineno}: {error.msg}; expected the JSON of write_results") from error
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise ResultsError(f'{path}: expected {{"rows": [...]}}; materialize the report again')
    return content


def find_row(
    rows: Iterable[ResultRow], *, model: str, trained_on: str | None, task: str, split: str, metric: str = AUROC
) -> ResultRow | None:
    """The row of one number, or None; `trained_on` None is zero-shot."""
    wanted = {"model": model, "trained_on": trained_on, "task": task, "split": split, "metric": metric}
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)


def distance_closed(row: ResultRow) -> float | None:
    """Share of the way from chance (0.5) to the oracle that an AUROC has gone; None without an oracle above chance."""
    value, oracle = row.get("value"), row.get("oracle")
    if value is None or oracle is None or oracle <= 0.5:
        return None
    return (value - 0.5) / (oracle - 0.5)


def results_table(
    rows: Sequence[ResultRow], split: str | None = None, switched_off: Mapping[str, str] | None = None
) -> str:
    """AUROC on one split as lines for a terminal: a row a task, zero-shot beside finetuned beside oracle.

    Without `split` the latest test that has a result. A task that no row is about has no line; those of `switched_off`
    (task -> reason) are named below.
    """
    split = split or latest_split(rows)
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        lines += [f"{model}: AUROC on {split}, 95 % interval", *_model_table(rows, model, split), ""]
    return "\n".join([*lines, *switched_off_lines(switched_off or {})]).rstrip()


def latest_split(rows: Iterable[ResultRow]) -> str:
    """The last of `SPLITS` that any row is about; without rows the paper's."""
    found = {row["split"] for row in rows}
    return next((split for split in reversed(SPLITS) if split in found), HEADLINE_SPLIT)


def switched_off_lines(switched_off: Mapping[str, str]) -> list[str]:
    """`Switched off: In-hospital mortality, Length of stay (the source has no H&P notes).`, one line a reason."""
    tasks: dict[str, list[str]] = {}
    for name, task in TASKS.items():
        if name in switched_off:
            tasks.setdefault(switched_off[name], []).append(task.title)
    return [f"Switched off: {', '.join(titles)} ({reason})." for reason, titles in tasks.items()]


def _model_table(rows: Sequence[ResultRow], model: str, split: str) -> list[str]:
    table: list[tuple[str, ...]] = [("task", "zero-shot", "single task", "joint", "oracle", "distance closed")]
    evaluated = {row["task"] for row in rows}
    for task in (task for task in TASKS.values() if task.name in evaluated):
        found = [
            find_row(rows, model=model, trained_on=trained_on, task=task.name, split=split)
            for trained_on in (None, task.name, JOINT)
        ]
        best = found[2] or found[1]
        oracle = next((row["oracle"] for row in found if row and row["oracle"] is not None), None)
        closed = distance_closed(best) if best else None
        table.append(
            (
                task.title,
                *(format_interval(row) for row in found),
                "-" if oracle is None else f"{oracle:.3f}",
                "-" if closed is None else f"{closed:.0%}",
            )
        )
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def format_interval(row: ResultRow | None) -> str:
    """`0.843 (0.831 - 0.855)`, or a dash."""
    if row is None or row["value"] is None:
        return "-"
    if row["low"] is None or row["high"] is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} ({row['low']:.3f} - {row['high']:.3f})"
