"""Memorization: what a pretrained model has by heart of its notes, as rows, a picture and a check (docs/privacy.md)."""

import json
import time
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.corpus.supplied import require_decoder
from lang1_assets.materialization import RESEARCH_OWNER, SYNTHETIC, materialized, picture
from lang1_assets.partitions import variant_partitions
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings

GROUP = "study"
WIDE_PICTURE, NARROW_PICTURE = "figure.png", "figure-phone.png"
CODE = [
    "lang1_assets.ops.memorization",
    "lang1_assets.ops.mixture",
    "lang1_assets.ops.shards",
    "lang1_assets.ops.study.pictures",
]
ROWS_FILE = "memorization.parquet"
CLINICAL = ("notes", "notes_plus")
"""The corpora of notes: what is memorized of web text is nobody's secret."""


def build_assets(settings: Settings) -> list[Any]:
    return [memorization(settings)]


def memorization(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="memorization",
        deps=["pretrained_model", "tokenizer", *(f"{corpus}_tokens" for corpus in CLINICAL)],
        partitions_def=variant_partitions(settings),
        group_name=GROUP,
        owners=RESEARCH_OWNER,
        kinds={"torch", "parquet"},
        pool="accelerator",
        description="What the model has by heart: exposure of planted made-up numbers, and training text that it continues "
        "word for word, for every checkpoint. " + (SYNTHETIC if settings.is_synthetic else ""),
        check_specs=[dg.AssetCheckSpec("nothing_memorized", asset="memorization")],
    )
    def _memorization(
        context: dg.AssetExecutionContext, store: ArtifactStore, tracking: Tracking
    ) -> dg.MaterializeResult:
        key = context.partition_key
        require_decoder(settings, key, "measure of what is memorized")
        model, tokens = store.get(f"pretrained_model/{key}"), store.get("tokenizer")
        corpora = [corpus for corpus in CLINICAL if corpus in settings.variants[key].mixture]
        inputs = [model, tokens, *(store.get(f"{corpus}_tokens") for corpus in corpora)]

        def make(work: Path) -> dict[str, Any]:
            with tracking.run(
                context,
                experiment="evaluate",
                name=f"{key}, memorization",
                work=work,
                params={"profile": settings.name, "part": "memorization", "variant": key},
                inputs=inputs,
            ) as run:
                summary = measure_memorization(context, settings, key, model, corpora, work)
                run.log_rows(summary.pop("metrics"))
            return {**summary, "mlflow_run_id": run.run_id, "mlflow_url": run.url}

        artifact = store.build(
            f"memorization/{key}",
            make,
            inputs=inputs,
            parameters={**settings.memorization.model_dump(), "seed": settings.seed},
            code=CODE,
            on_wait=context.log.warning,
        )
        shown = (
            {"figure": picture(path, "What is memorized")} if (path := artifact.path / NARROW_PICTURE).exists() else {}
        )
        return materialized(
            artifact,
            [nothing_memorized(artifact)],
            mlflow_run=dg.MetadataValue.url(artifact.summary["mlflow_url"]),
            **shown,
        )

    return _memorization


def measure_memorization(
    context: dg.AssetExecutionContext, settings: Settings, key: str, model: Artifact, corpora: list[str], work: Path
) -> dict[str, Any]:
    """Write the rows and the pictures; the verdict and the metrics."""
    if not corpora:
        known = settings.variants[key].folder is None
        words = "this model was not trained on notes" if known else "not measured: its training text is not known here"
        return {"is_clean": True, "verdict": words, "metrics": []}
    from lang1_assets.ops.memorization import evaluate, figure, verdict
    from lang1_assets.ops.pretraining.config import PretrainConfig
    from lang1_assets.ops.study.figure import write_figures
    from lang1_assets.ops.study.pictures import draw_together

    config = evaluate.MemorizationConfig(
        **settings.memorization.model_dump(),
        num_others=verdict.others_needed(settings.corpora.canaries.num_each),
        batch_size=settings.evaluate.batch_size,
        seed=settings.seed,
    )
    rows = evaluate.measure_memorization(
        [model.path / "trajectory" / name for name in model.summary["trajectory"]],
        PretrainConfig.from_json(json.loads((model.path / "job.json").read_text())),
        corpora,
        config,
        context.log.info,
    )
    rows.write_parquet(work / ROWS_FILE)
    figures = figure.memorization_figures(rows, key)
    write_figures(figures, work)
    for name, wide in ((WIDE_PICTURE, True), (NARROW_PICTURE, False)):
        (work / name).write_bytes(draw_together(figures, is_synthetic=settings.is_synthetic, wide=wide))
    found = verdict.verdict_of(rows)
    return {"is_clean": found.is_clean, "verdict": found.words, "metrics": metric_rows(rows)}


def metric_rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """`exposure/REPEATS` (mean, bits) and `verbatim_trained`, `verbatim_held_out`, with the tokens seen as the step."""
    now = time.time()
    means = rows.group_by("tokens", "kind", "repeats").agg(pl.col("value").mean()).sort("tokens", "kind", "repeats")
    return [
        {
            "step": tokens,
            "time": now,
            "group": "train",
            "values": {kind if repeats is None else f"{kind}/{repeats}": value},
        }
        for tokens, kind, repeats, value in means.iter_rows()
    ]


def nothing_memorized(artifact: Artifact) -> dg.AssetCheckResult:
    """At most 1 % of models that memorized nothing fail: see `ops.memorization.verdict`."""
    return dg.AssetCheckResult(
        check_name="nothing_memorized",
        passed=artifact.summary["is_clean"],
        severity=dg.AssetCheckSeverity.WARN,
        description=artifact.summary["verdict"],
    )
