"""How much of TF-IDF's lead is the number of labels: fitted on the notes that a finetuning reads, and on all of them.

    python bench/explain/labels.py --home lang1_home --profile tiny

Tested on the headline split exactly as the asset `baseline_evaluation` tests it. Printed and written to `bench/results/labels.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import polars as pl

from lang1_assets.ops.baselines import fitting
from lang1_assets.ops.baselines.structured import Tables
from lang1_assets.ops.comparison import bootstrap_test, paired
from lang1_assets.ops.prompts import read_examples
from lang1_assets.ops.results import AUROC, result_rows
from lang1_assets.ops.tasks import REMEDE, TASKS
from lang1_assets.settings import Settings, load_settings

BASELINE = "tfidf-logistic"
RESULT = Path(__file__).parents[1] / "results" / "labels.md"
HEADER = "| task | notes | AUROC | all notes | AUROC | fewer less all, by patient |\n|---|---:|---|---:|---|---|\n"
Notes = Callable[[Path, str], pl.DataFrame]


def measured(settings: Settings, root: Path, task: str, notes: Notes) -> tuple[int, str, pl.DataFrame]:
    """Training notes, AUROC with its 95 % interval in words, and the predictions."""
    evaluate, split = settings.evaluate, settings.cohorts.headline_split
    tables = Tables(folder=root / "warehouse", stay_classes=settings.cohorts.stay_classes)
    files = {task: root / f"{task}_examples" / "examples.parquet"}
    whole, fitting.notes_of = fitting.notes_of, notes
    try:
        scored = fitting.predict_baseline(
            BASELINE, files, tables, [split], evaluate.max_examples, settings.seed, lambda said: None
        )
    finally:
        fitting.notes_of = whole
    rows = result_rows(
        scored.predictions,
        model=BASELINE,
        mode="finetuned",
        trained_on=task,
        oracle=None,
        num_resamples=evaluate.num_resamples,
        seed=settings.seed,
    )
    row = next(row for row in rows if row["metric"] == AUROC)
    return (
        scored.fitted[0]["num_train"],
        f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
        scored.predictions,
    )


def line_of(settings: Settings, root: Path, task: str) -> str:
    budget, whole = settings.finetune.max_steps * settings.finetune.global_batch_size, fitting.notes_of

    def read_in_training(path: Path, split: str) -> pl.DataFrame:
        return read_examples(path, split, budget, settings.seed) if split == "train" else whole(path, split)

    some, all_notes = (measured(settings, root, task, notes) for notes in (read_in_training, whole))
    both = paired(all_notes[2], some[2])
    found = bootstrap_test(
        both.labels,
        both.first,
        both.second,
        metric=AUROC,
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
        clusters=both.patients,
    )
    change = f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    return f"| {TASKS[task].title} | {some[0]:,} | {some[1]} | {all_notes[0]:,} | {all_notes[1]} | {change} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("lang1_home"))
    parser.add_argument("--profile", default="tiny")
    asked = parser.parse_args()
    settings = load_settings(asked.profile)
    root = asked.home / "artifacts" / settings.name
    kind = "Synthetic data. " if settings.is_synthetic else ""
    told = (
        f"# How much of TF-IDF's lead is the number of labels\n\n{kind}TF-IDF with logistic regression, profile `{settings.name}`, "
        f"{settings.cohorts.headline_split}: fitted on the labelled notes that a finetuning reads (`finetune.max_steps` batches), "
        "and on all.\n\n"
    )
    table = HEADER + "".join(line_of(settings, root, task) for task in REMEDE)
    print(told + table)
    RESULT.write_text(told + table)


if __name__ == "__main__":
    main()
