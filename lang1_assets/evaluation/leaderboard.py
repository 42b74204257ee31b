"""The leaderboard: the project's own models and those from elsewhere, on the same notes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.corpus.supplied import supplied_examples
from lang1_assets.evaluation import scored
from lang1_assets.evaluation.families import modes_of, told_apart
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized, said_to_be
from lang1_assets.ops.baselines import BASELINES
from lang1_assets.ops.schemas import PREDICTIONS_FILE, RECORD_FILE, ROWS_FILE
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings
from lang1_assets.settings.models import Served

GROUP = "evaluate"
ENTRIES_FILE = "leaderboard.json"
OUTSIDE, SERVED, BASELINE = "outside_evaluation", "served_evaluation", "baseline_evaluation"
CODE = [
    "lang1_assets.evaluation.leaderboard",
    "lang1_assets.ops.leaderboard",
    "lang1_assets.ops.comparison",
    "lang1_assets.ops.served.chat",
    "lang1_assets.ops.served.model",
    "lang1_assets.ops.results",
    "lang1_assets.ops.metrics",
    "lang1_assets.ops.bootstrap",
]


def build_assets(settings: Settings) -> list[Any]:
    return [leaderboard(settings)]


def leaderboard(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="leaderboard",
        deps=[
            *(f"{mode}_evaluation" for mode in modes_of(settings)),
            *dict.fromkeys(asset_of(settings).values()),
            BASELINE,
        ],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"scikitlearn"},
        description=f"Every evaluated model on {settings.cohorts.headline_split}: AUROC with intervals, the same as if it were "
        "sampled, and a paired test against the best. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("same_prompts_for_all", asset="leaderboard")],
    )
    def _leaderboard(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        found, old = evaluations(store, settings)
        if not found:
            first = (
                f"Materialize again: {', '.join(old)}." if old else "Materialize 'zero_shot_evaluation' for a variant."
            )
            raise dg.Failure(f"Nothing has been evaluated yet of the models there are. {first}")
        split = settings.cohorts.headline_split
        stale = stale_tasks(store, found, split)

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.leaderboard import leaderboard as entries_of

            entries = entries_of(
                [evaluated(item, stale.get(item.name, set())) for item in found],
                split,
                settings.evaluate.num_resamples,
                settings.seed,
            )
            scored.write_json(work / ENTRIES_FILE, entries)
            return {"num_models": len(found), "split": split}

        artifact = store.build(
            "leaderboard",
            make,
            inputs=found,
            parameters={
                "split": split,
                "num_resamples": settings.evaluate.num_resamples,
                "seed": settings.seed,
                "left_out": {name: sorted(tasks) for name, tasks in stale.items()},
            },
            code=CODE,
            on_wait=context.log.warning,
        )
        entries = json.loads((artifact.path / ENTRIES_FILE).read_text())
        return materialized(
            artifact,
            [same_prompts(stale, other_prompts(found, split), old)],
            leaderboard=said_to_be(tables(entries), settings.is_synthetic),
        )

    return _leaderboard


def asset_of(settings: Settings) -> dict[str, str]:
    """Model from elsewhere -> the asset that evaluates it."""
    return {key: SERVED if isinstance(model, Served) else OUTSIDE for key, model in settings.models.items()}


def evaluations(store: ArtifactStore, settings: Settings) -> tuple[list[Artifact], list[str]]:
    """Whatever was evaluated so far; and the names of evaluations whose model was made anew since."""
    names = [f"{mode}_evaluation/{variant}" for variant in settings.variants for mode in modes_of(settings)]
    names += [f"{asset}/{model}" for model, asset in asset_of(settings).items()]
    names += [f"{BASELINE}/{name}" for name in BASELINES]
    found, old = told_apart(store, names)
    return list(found.values()), old


def evaluated(artifact: Artifact, stale: set[str]) -> Any:
    """Without the tasks on which it cannot be compared."""
    from lang1_assets.ops.leaderboard import Evaluated

    record = read_record(artifact)
    answers = artifact.path / scored.ANSWERS_FILE
    return Evaluated(
        model=record["name"],
        mode=record["mode"],
        kind=record["kind"],
        predictions=pl.read_parquet(artifact.path / PREDICTIONS_FILE).filter(~pl.col("task").is_in(stale)),
        rows=[row for row in json.loads((artifact.path / ROWS_FILE).read_text()) if row["task"] not in stale],
        answers=json.loads(answers.read_text()) if answers.exists() else (),
    )


def read_record(artifact: Artifact) -> dict[str, Any]:
    return dict(json.loads((artifact.path / RECORD_FILE).read_text()))


def stale_tasks(store: ArtifactStore, found: Sequence[Artifact], split: str) -> dict[str, set[str]]:
    """Evaluation -> tasks on which it saw other labels or another question than there are now."""
    now = scored.tasks_record(supplied_examples(store, TASKS), store.get("warehouse").summary["cohort_sql_sha256"])
    stale: dict[str, set[str]] = {}
    for artifact in found:
        record = read_record(artifact)
        asked = [task for task in record["tasks"] if asks(record, task, split)]
        differing = {task for task in asked if record["tasks"][task] != now.get(task)}
        if differing:
            stale[artifact.name] = differing
    return stale


def other_prompts(found: Sequence[Artifact], split: str) -> list[str]:
    """Evaluations whose notes were cut elsewhere, or whose prompts differ where they should not; baselines have no prompts."""
    records = {artifact.name: read_record(artifact) for artifact in found}
    records = {name: record for name, record in records.items() if record["kind"] != scored.BASELINE}
    cuts = {name: record["parameters"]["note_tokens"] for name, record in records.items()}
    usual = max(set(cuts.values()), key=list(cuts.values()).count, default=None)
    said = [f"{name}: notes of {cut} tokens, the others of {usual}" for name, cut in cuts.items() if cut != usual]
    for task in TASKS:
        # The same tokenizer, form, cut and number of notes: then it is the same text.
        seen: dict[Any, str] = {}
        for name, record in records.items():
            served = record["kind"] in ("completions", "chat")
            for row in record["prompts"]:
                if (row["task"], row["split"]) == (task, split):
                    alike = (record["tokenizer_sha256"], served, cuts[name], row["num"])
                    if seen.setdefault(alike, row["sha256"]) != row["sha256"]:
                        said.append(f"{name}: other prompts of {task}")
    return said


def asks(record: dict[str, Any], task: str, split: str) -> bool:
    return any((row["task"], row["split"]) == (task, split) for row in record["prompts"])


def same_prompts(stale: dict[str, set[str]], others: Sequence[str], old: Sequence[str]) -> dg.AssetCheckResult:
    """Warns where models were asked other questions, about other labels, saw other parts of the notes, or are gone."""
    left_out = [f"{name}: {', '.join(sorted(tasks))}" for name, tasks in stale.items()]
    said = (
        [f"Left out, for they saw other labels or questions; evaluate again: {'; '.join(left_out)}"] if left_out else []
    )
    if old:
        said.append(f"Left out, for their models were made anew since; evaluate again: {', '.join(old)}")
    return dg.AssetCheckResult(
        check_name="same_prompts_for_all",
        passed=not said and not others,
        severity=dg.AssetCheckSeverity.WARN,
        description=". ".join([*said, *others]) or None,
    )


def tables(entries: Sequence[dict[str, Any]]) -> str:
    """A table a task, the best model first."""
    from lang1_assets.ops.leaderboard import HEADER, cells

    shown = []
    for task in dict.fromkeys(entry["task"] for entry in entries):
        rows = [cells(entry) for entry in entries if entry["task"] == task]  # type: ignore[arg-type]
        shown.append(f"**{TASKS[task].title}**\n\n{markdown_table(HEADER, rows).md_str}")
    return "\n\n".join(shown)
