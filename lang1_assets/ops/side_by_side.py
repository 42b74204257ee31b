"""Two evaluations side by side, from what they left behind: what differs in how they were made, and note by note."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lang1_assets.ops.comparison import Difference, bootstrap_test, delong_test, on, paired
from lang1_assets.ops.metrics import MetricError
from lang1_assets.ops.results import ResultRow, result_rows
from lang1_assets.ops.schemas import PREDICTIONS_FILE, RECORD_FILE, ROWS_FILE


class EvaluationError(ValueError):
    """A folder is not what an evaluation leaves behind."""


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """An evaluation as it lies on disk."""

    folder: Path
    predictions: pl.DataFrame
    rows: list[ResultRow]
    record: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.record['name']}, {self.record['mode']}"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two models on one task and split."""

    task: str
    split: str
    common: int
    only_first: int
    only_second: int
    auroc: Difference | None
    """With an interval from resampled patients."""
    problem: str | None
    """Why there is none."""
    delong_p_value: float | None
    """Two classes only."""


def read_evaluation(folder: Path) -> LeftBehind:
    """Raises EvaluationError when a file is missing or cannot be read."""
    try:
        return LeftBehind(
            folder=folder,
            predictions=pl.read_parquet(folder / PREDICTIONS_FILE),
            rows=json.loads((folder / ROWS_FILE).read_text()),
            record=json.loads((folder / RECORD_FILE).read_text()),
        )
    except (OSError, json.JSONDecodeError, pl.exceptions.PolarsError) as error:
        raise EvaluationError(
            f"{folder}: expected {PREDICTIONS_FILE}, {ROWS_FILE} and {RECORD_FILE} of an evaluation ({type(error).__name__})"
        ) from None


def rebuilt(evaluation: LeftBehind) -> list[ResultRow]:
    """The numbers, made again from the probabilities; without the oracle's, which belongs to the embedded hospital."""
    record = evaluation.record
    return result_rows(
        evaluation.predictions,
        model=record["name"],
        mode="zero_shot" if record["mode"] == "zero_shot" else "finetuned",
        trained_on=None if record["mode"] == "zero_shot" else record["mode"],
        num_resamples=record["parameters"]["num_resamples"],
        seed=record["parameters"]["seed"],
    )


def changed_numbers(evaluation: LeftBehind, tolerance: float = 1e-9) -> list[str]:
    """Numbers of `rows.json` that the probabilities do not give: none, unless a file or the code has changed."""
    again = {(row["task"], row["split"], row["metric"]): row for row in rebuilt(evaluation)}
    fields = ("value", "low", "high", "standard_deviation", "low_by_patient", "high_by_patient", "n")
    return [
        f"{row['task']}, {row['split']}, {row['metric']}: {field} is {row.get(field)}, again {new.get(field)}"
        for row in evaluation.rows
        for new in [again.get((row["task"], row["split"], row["metric"]), {})]
        for field in fields
        if not is_close(row.get(field), new.get(field), tolerance)
    ]


def is_close(first: Any, second: Any, tolerance: float) -> bool:
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)


def what_differs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What two records do not have in common, one line each, the names of the models apart.

    >>> what_differs({"versions": {"torch": "2.13"}}, {"versions": {"torch": "2.14"}})
    ['versions.torch: 2.13, 2.14']
    """
    values = [dict(leaves(record)) for record in (first, second)]
    names = [name for name in dict.fromkeys([*values[0], *values[1]]) if name.split(".")[0] not in NAMES]
    pairs = [(name, values[0].get(name, "-"), values[1].get(name, "-")) for name in names]
    return [f"{name}: {one}, {other}" for name, one, other in pairs if one != other]


NAMES = {"name", "mode", "kind", "mlflow_run_id"}


def leaves(values: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value); the prompts by their task and split."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from leaves(value, f"{above}.{key}" if above else str(key))
    elif isinstance(values, list) and values and isinstance(values[0], Mapping) and "split" in values[0]:
        for row in values:
            yield f"{above}.{row['task']}.{row['split']}", f"{row['num']} prompts {row['sha256'][:12]}"
    else:
        yield above, values


def compare(first: LeftBehind, second: LeftBehind, num_resamples: int, seed: int) -> list[Compared]:
    """Each task and split that both were scored on; the difference is the second less the first."""
    keys = first.predictions.select("task", "split").unique(maintain_order=True)
    shared = keys.join(second.predictions.select("task", "split").unique(), on=["task", "split"], maintain_order="left")
    return [compare_one(first, second, task, split, num_resamples, seed) for task, split in shared.iter_rows()]


def compare_one(
    first: LeftBehind, second: LeftBehind, task: str, split: str, num_resamples: int, seed: int
) -> Compared:
    groups = [on(one.predictions, task, split) for one in (first, second)]
    common = groups[0].join(groups[1], on="note_id", how="semi")
    counts: dict[str, Any] = {"task": task, "split": split, "common": len(common)}
    counts |= {
        f"only_{place}": len(group) - len(common) for place, group in zip(("first", "second"), groups, strict=True)
    }
    if common["label"].n_unique() < 2:
        why = f"{len(common)} notes in common, of {common['label'].n_unique()} class(es): no AUROC"
        return Compared(**counts, auroc=None, delong_p_value=None, problem=why)
    try:
        pair = paired(*groups)
    except MetricError as error:
        return Compared(**counts, auroc=None, delong_p_value=None, problem=str(error))
    clusters = np.unique(pair.patients, return_inverse=True)[1]
    test = bootstrap_test(
        pair.labels, pair.first, pair.second, num_resamples=num_resamples, seed=seed, clusters=clusters
    )
    # DeLong's variance needs two notes of each of two classes.
    is_binary = pair.first.shape[1] == 2 and np.bincount(pair.labels, minlength=2).min() > 1
    delong = delong_test(pair.labels, pair.first, pair.second).p_value if is_binary else None
    return Compared(**counts, auroc=test, delong_p_value=delong, problem=None)


def disagreements(first: LeftBehind, second: LeftBehind, task: str, split: str) -> pl.DataFrame:
    """Note by note: the probability of the true class by each model, the largest difference first."""
    both = on(first.predictions, task, split).join(
        on(second.predictions, task, split), on=["note_id", "task", "split", "label"], suffix="_second"
    )
    truth = [pl.col(column).list.get(pl.col("label")) for column in ("probabilities", "probabilities_second")]
    return (
        both.with_columns(first=truth[0], second=truth[1])
        .select("note_id", "label", "first", "second")
        .with_columns(difference=pl.col("second") - pl.col("first"))
        .sort(pl.col("difference").abs(), "note_id", descending=[True, False])
    )
