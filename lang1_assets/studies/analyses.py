"""The analyses of an evaluated model: what each measures, draws and warns about. `analyze` makes an asset of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from lang1_assets.ops.tasks import REMEDE, TASKS
from lang1_assets.resources.store import Artifact
from lang1_assets.settings import Settings

ZERO_SHOT = "zero_shot"
JOINT = "joint"

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What was predicted so far for one variant, and what is known of the notes."""

    key: str
    predictions: Mapping[str, pl.DataFrame]
    """Of each mode."""
    examples: Mapping[str, pl.DataFrame]
    """Of each task, without text."""
    pretrained: pl.Series
    """Patients with a note in the pretraining corpora."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One analysis of every evaluated model of a variant."""

    name: str
    description: str
    check: str
    measure: Callable[[Settings, Evaluated], Rows]
    """Rows, each with `mode`, `task`, `split`, `n`, `value`, `low`, `high` and `left_out`."""
    draw: Callable[[Settings, str, Rows, bool], dict[str, bytes]]
    """Pictures by name, wide or for a phone."""
    columns: tuple[str, ...]
    """Those of the table that are not in every analysis."""
    warnings: Callable[[Rows], list[str]]
    """What a person should look at: the check fails when there is any."""


def pretraining_patients(settings: Settings, key: str, notes: Artifact, tables: Artifact) -> pl.Series:
    """Patients with a note in a corpus that the variant was pretrained on; duplicates that were left out count as seen."""
    from lang1_assets.ops.corpora import chosen_notes, held_out_stays

    variant, corpora = settings.variants[key], settings.corpora
    clinical = [corpus for corpus in variant.mixture if corpus in corpora.choices and not variant.random_weights]
    cohorts = [tables.path / f"cohort_{task}.parquet" for task in REMEDE]
    held_out = held_out_stays(cohorts, settings.cohorts.headline_split) if corpora.hold_out_test_stays else []
    filters = [chosen_notes(*corpora.choices[corpus], held_out) for corpus in clinical]
    taken = pl.any_horizontal([pl.lit(True) if chosen is None else chosen for chosen in filters] or [pl.lit(False)])
    scanned = pl.scan_parquet(notes.path / "notes" / "*.parquet").filter(taken)
    return scanned.select("subject_id").unique().collect()["subject_id"]


def measuring(settings: Settings) -> Any:
    from lang1_assets.ops.analysis.groups import Measuring

    return Measuring(
        min_notes=settings.analyze.min_notes,
        min_events=settings.analyze.min_events,
        num_resamples=settings.evaluate.num_resamples,
        seed=settings.seed,
    )


def by_task(held: Evaluated, split: str | None = None) -> list[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """(mode, predictions, examples) of each mode and task, of one split or all; without `tasks_gone`."""
    pairs = []
    for mode, predictions in held.predictions.items():
        chosen = predictions if split is None else predictions.filter(split=split)
        for task in chosen["task"].unique(maintain_order=True):
            if task in held.examples:
                pairs.append((mode, chosen.filter(task=task), held.examples[task]))
    return pairs


def tasks_gone(held: Evaluated) -> list[str]:
    """Tasks that an evaluation holds and the source no longer supplies: removed or switched off since, so nothing is known
    of their notes."""
    evaluated = {task for predictions in held.predictions.values() for task in predictions["task"].unique()}
    return sorted(evaluated - set(held.examples))


def measure_strata(settings: Settings, held: Evaluated) -> Rows:
    from lang1_assets.ops.analysis.strata import strata_rows

    return [
        dict(row)
        for mode, predictions, examples in by_task(held, settings.cohorts.headline_split)
        for row in strata_rows(predictions, examples, mode, settings.analyze.age_band_years, measuring(settings))
    ]


def draw_strata(settings: Settings, key: str, rows: Any, wide: bool) -> dict[str, bytes]:
    """All tasks on one sheet for a desktop, a sheet each for a phone: together they are too long to stay sharp."""
    from lang1_assets.ops.analysis.pictures import strata_picture

    tasks = dict.fromkeys(row["task"] for row in rows)
    sheets = {"figure": rows} if wide else {task: [row for row in rows if row["task"] == task] for task in tasks}
    return {
        name: strata_picture(held, key, test_of(settings, held), is_synthetic=settings.is_synthetic, wide=wide)
        for name, held in sheets.items()
    }


def test_of(settings: Settings, rows: Rows) -> str:
    return settings.cohorts.headline_title({row["task"]: None for row in rows})


def worse_groups(rows: Rows) -> list[str]:
    return [
        f"{named(row)}: {row['attribute']} {row['group']} {row['value']:.3f}"
        for row in trained(rows)
        if row["is_worse"]
    ]


def measure_overlap(settings: Settings, held: Evaluated) -> Rows:
    from lang1_assets.ops.analysis.patient_overlap import overlap_rows

    rows: Rows = []
    for mode, predictions, examples in by_task(held, settings.cohorts.headline_split):
        if mode in tasks_gone(held):
            # Whom it was finetuned on is no longer known.
            continue
        seen = {*held.pretrained, *finetuning_patients(held, mode)}
        found, flattery = overlap_rows(predictions, examples, mode, seen, measuring(settings))
        difference = {f"difference_{name}": flattery[name] for name in ("value", "low", "high")}  # type: ignore[literal-required]
        # Who was seen before is another population: as numbers with intervals, so that it can be judged.
        difference |= {f"{of}_difference": flattery[of] for of in ("age", "not_white")}  # type: ignore[literal-required]
        rows += [{**row, **difference, "share_seen": flattery["share_seen"]} for row in found]
    return rows


def finetuning_patients(held: Evaluated, mode: str) -> set[str]:
    """Patients with an example that a mode was finetuned on, or stopped by."""
    # An own task is finetuned on by itself: the joint recipe is the paper's five, those of them that the source supplies.
    tasks = [] if mode == ZERO_SHOT else [task for task in REMEDE if task in held.examples] if mode == JOINT else [mode]
    frames = [held.examples[task].filter(pl.col("split").is_in(["train", "val"])) for task in tasks]
    return {patient for frame in frames for patient in frame["subject_id"]}


def draw_overlap(settings: Settings, key: str, rows: Any, wide: bool) -> dict[str, bytes]:
    from lang1_assets.ops.analysis.pictures import overlap_picture

    test = test_of(settings, rows)
    return {"figure": overlap_picture(rows, key, test, is_synthetic=settings.is_synthetic, wide=wide)}


def flattered(rows: Rows) -> list[str]:
    """Models whose AUROC is higher with the patients it has met, by more than chance explains."""
    whole = [row for row in trained(rows) if row["group"] == "all patients" and row["difference_low"] is not None]
    return [
        f"{named(row)}: {row['difference_value']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
        for row in whole
        if row["difference_low"] > 0
    ]


def measure_drift(settings: Settings, held: Evaluated) -> Rows:
    from lang1_assets.ops.analysis.temporal_drift import drift_rows

    return [
        dict(row)
        for mode, predictions, examples in by_task(held)
        for row in drift_rows(predictions, examples, mode, measuring(settings))
    ]


def draw_drift(settings: Settings, key: str, rows: Any, wide: bool) -> dict[str, bytes]:
    from lang1_assets.ops.analysis.month_figure import drift_picture
    from lang1_assets.ops.analysis.pictures import modes_shown

    modes = modes_shown(rows)
    chosen = [row for row in rows if row["mode"] == modes[row["task"]]]
    return {"figure": drift_picture(chosen, key, is_synthetic=settings.is_synthetic, wide=wide)}


def drops(rows: Rows) -> list[str]:
    return [
        f"{named(row)}, {row['split']} {row['month']}: {row['value']:.3f}" for row in trained(rows) if row["is_drop"]
    ]


def trained(rows: Rows) -> Rows:
    """Without zero-shot: a model at chance is below chance for some, and nothing follows from it."""
    return [row for row in rows if row["mode"] != ZERO_SHOT]


def named(row: Mapping[str, Any]) -> str:
    return f"{TASKS[row['task']].title}, {row['mode']}"


STRATA = Analysis(
    name="strata",
    description="Fig. K8: AUROC by age, sex, race, ethnicity, borough, child or adult; groups that are too small are named.",
    check="no_group_is_worse",
    measure=measure_strata,
    draw=draw_strata,
    columns=("attribute", "group"),
    warnings=worse_groups,
)
OVERLAP = Analysis(
    name="patient_overlap",
    description="Fig. L9: AUROC with and without the patients whose notes the model was trained on.",
    check="overlap_does_not_flatter",
    measure=measure_overlap,
    draw=draw_overlap,
    columns=("group", "num_patients", "mean_age", "share_not_white"),
    warnings=flattered,
)
DRIFT = Analysis(
    name="temporal_drift",
    description="AUROC, calibration and prevalence by month, against the test of the training years.",
    check="no_significant_drop",
    measure=measure_drift,
    draw=draw_drift,
    columns=("split", "month", "observed", "predicted", "gap"),
    warnings=drops,
)
