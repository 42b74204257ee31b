"""The leaderboard: the project's own models and those from elsewhere, on the same notes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets import scored
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, markdown_table, materialized
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

GROUP = "evaluate"
ENTRIES_FILE = "leaderboard.json"
OUTSIDE = "outside_evaluation"


def build_assets(settings: Settings) -> list[Any]:
    return [leaderboard(settings)]


def leaderboard(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="leaderboard",
        deps=[*(f"{mode}_evaluation" for mode in modes_of(settings)), *([OUTSIDE] if settings.models else [])],
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"scikitlearn"},
        description=f"Every evaluated model on {settings.cohorts.headline_split}: AUROC with intervals, the same from ten samples, "
        "and a paired test against the best. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("same_prompts_for_all", asset="leaderboard")],
    )
    def _leaderboard(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        found = list(evaluations(store, settings))
        if not found:
            raise dg.Failure("Nothing has been evaluated yet: materialize 'zero_shot_evaluation' for a variant first.")
        split = settings.cohorts.headline_split

        def make(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.leaderboard import leaderboard as entries_of

            entries = entries_of(
                [evaluated(item) for item in found], split, settings.evaluate.num_resamples, settings.seed
            )
            scored.write_json(work / ENTRIES_FILE, entries)
            return {"num_models": len(found), "split": split}

        artifact = store.build(
            "leaderboard",
            make,
            inputs=found,
            parameters={"split": split, "num_resamples": settings.evaluate.num_resamples, "seed": settings.seed},
            code=["lang1_assets.ops.leaderboard", "lang1_assets.ops.comparison", "lang1_assets.ops.served.chat"],
            on_wait=context.log.warning,
        )
        entries = json.loads((artifact.path / ENTRIES_FILE).read_text())
        said = f"{SYNTHETIC}\n\n" if settings.is_synthetic else ""
        return materialized(
            artifact, [same_prompts(found, split)], leaderboard=dg.MetadataValue.md(said + tables(entries))
        )

    return _leaderboard


def modes_of(settings: Settings) -> tuple[str, ...]:
    return ("zero_shot", *settings.finetune.recipes)


def evaluations(store: ArtifactStore, settings: Settings) -> Iterator[Artifact]:
    """Whatever was evaluated so far."""
    names = [f"{mode}_evaluation/{variant}" for variant in settings.variants for mode in modes_of(settings)]
    names += [f"{OUTSIDE}/{model}" for model in settings.models]
    for name in names:
        artifact = store.find(name)
        if artifact is not None:
            yield artifact


def evaluated(artifact: Artifact) -> Any:
    from lang1_assets.ops.leaderboard import Evaluated

    record = read_record(artifact)
    answers = artifact.path / scored.ANSWERS_FILE
    return Evaluated(
        model=record["name"],
        mode=record["mode"],
        kind=record["kind"],
        predictions=pl.read_parquet(artifact.path / scored.PREDICTIONS_FILE),
        rows=json.loads((artifact.path / scored.ROWS_FILE).read_text()),
        answers=json.loads(answers.read_text()) if answers.exists() else (),
    )


def read_record(artifact: Artifact) -> dict[str, Any]:
    return dict(json.loads((artifact.path / scored.RECORD_FILE).read_text()))


def same_prompts(found: Sequence[Artifact], split: str) -> dg.AssetCheckResult:
    """Warns where models were asked other questions: another version of a task, other labels, another cohort."""
    records = {artifact.name: read_record(artifact) for artifact in found}
    differing = []
    for task in TASKS:
        asked = {
            name: json.dumps(record["tasks"][task], sort_keys=True)
            for name, record in records.items()
            if task in record["tasks"]
            and any((row["task"], row["split"]) == (task, split) for row in record["prompts"])
        }
        if len(set(asked.values())) > 1:
            newest = asked[max(asked, key=lambda name: next(a.created for a in found if a.name == name))]
            differing.append(f"{task}: {', '.join(name for name, value in asked.items() if value != newest)}")
    return dg.AssetCheckResult(
        check_name="same_prompts_for_all",
        passed=not differing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Evaluate again, they saw other labels or questions: {'; '.join(differing)}"
        if differing
        else None,
    )


def tables(entries: Sequence[dict[str, Any]]) -> str:
    """A table a task, the best model first."""
    from lang1_assets.ops.leaderboard import HEADER, cells

    shown = []
    for task in dict.fromkeys(entry["task"] for entry in entries):
        rows = [cells(entry) for entry in entries if entry["task"] == task]  # type: ignore[arg-type]
        shown.append(f"**{TASKS[task].title}**\n\n{markdown_table(HEADER, rows).md_str}")
    return "\n\n".join(shown)
