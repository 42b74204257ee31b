"""Cleaning: the paper's rules on Dask, Parquet in and out, and the statistics of what is left (paper 5.1, appendix G)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.materialization import DATA_OWNER, column_schema, markdown_table, materialized
from lang1_assets.ops import schemas
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.settings import Settings

GROUP = "clean"


def build_assets(settings: Settings) -> list[Any]:
    return [clean_notes(settings), web_text(settings), corpus_statistics(settings.is_synthetic)]


def clean_notes(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="clean_notes",
        deps=["staged_notes"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"dask", "parquet"},
        description="Notes as plain ASCII text by the rules of section 5.1; what was dropped is kept with its reason.",
        metadata={"dagster/column_schema": column_schema(schemas.CLEAN_NOTES)},
        check_specs=[dg.AssetCheckSpec("rows_in_equal_rows_out", asset="clean_notes", blocking=True)],
    )
    def _clean_notes(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        # Dask takes a second to import; the definitions do without it.
        from lang1_assets.ops import cleaning

        source = store.get("warehouse")
        config = settings.cleaning

        def make(work: Path) -> dict[str, Any]:
            report = cleaning.clean_notes(
                [source.path / "staged_notes.parquet"],
                work,
                cleaning.CleaningRules(min_words=config.min_words, placeholders=config.placeholders),
                scheduler_address=config.scheduler_address,
                num_workers=config.num_workers,
                partition_rows=config.partition_rows,
                on_progress=lambda done, total: context.log.info(f"cleaned {done} of {total} partitions"),
            )
            return dict(vars(report))

        artifact = store.build(
            "clean_notes",
            make,
            inputs=[source],
            parameters={"min_words": config.min_words, "placeholders": config.placeholders},
            code=["lang1_assets.ops.cleaning", "lang1_assets.ops.schemas"],
            on_wait=context.log.warning,
        )
        summary = artifact.summary
        rejected = dict(summary["rejects_by_reason"])
        return materialized(
            artifact,
            [rows_in_equal_rows_out(summary)],
            drop_reasons=markdown_table(["reason", "notes"], sorted(rejected.items())),
            **{"dagster/row_count": summary["rows_kept"]},
        )

    return _clean_notes


def web_text(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="web_text",
        deps=["web_text_source"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"parquet"},
        description="Web documents as Parquet, with their SlimPajama subset; broken lines are kept as rejects.",
        check_specs=[dg.AssetCheckSpec("rows_in_equal_rows_out", asset="web_text", blocking=True)],
    )
    def _web_text(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops.web_text import read_web_text

        source = store.get("web_text_source")
        folder = source.path / "files" if (source.path / "files").is_symlink() else source.path
        artifact = store.build(
            "web_text",
            lambda work: dict(vars(read_web_text(folder, work))),
            inputs=[source],
            code=["lang1_assets.ops.web_text"],
            on_wait=context.log.warning,
        )
        return materialized(artifact, [rows_in_equal_rows_out(artifact.summary)])

    return _web_text


def rows_in_equal_rows_out(summary: Mapping[str, Any]) -> dg.AssetCheckResult:
    rejected = dict(summary["rejects_by_reason"])
    return dg.AssetCheckResult(
        check_name="rows_in_equal_rows_out",
        passed=summary["rows_in"] == summary["rows_kept"] + sum(rejected.values()),
        metadata={"rows_in": summary["rows_in"], "rows_kept": summary["rows_kept"], "rejected": rejected},
    )


def corpus_statistics(is_synthetic: bool) -> dg.AssetsDefinition:
    @dg.asset(
        name="corpus_statistics",
        deps=["clean_notes", "encounters", "diagnoses", "stg_patients"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"polars"},
        description="Patients, notes and words; top five departments, diagnoses and boroughs by note type (Fig. G7).",
    )
    def _corpus_statistics(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops import corpus_statistics as statistics

        notes, tables = store.get("clean_notes"), store.get("warehouse")

        def make(work: Path) -> dict[str, Any]:
            totals, top = statistics.corpus_statistics(
                notes.path / "notes" / "*.parquet",
                tables.path / "encounters.parquet",
                tables.path / "diagnoses.parquet",
                tables.path / "patients.parquet",
            )
            totals.write_parquet(work / "totals.parquet")
            top.write_parquet(work / "top.parquet")
            return {"num_notes": int(totals.filter(pl.col("note_group") == "all")["num_notes"].item())}

        artifact = store.build(
            "corpus_statistics",
            make,
            inputs=[notes, tables],
            code=["lang1_assets.ops.corpus_statistics"],
            on_wait=context.log.warning,
        )
        return materialized(
            artifact,
            figure_g7=top_five_picture(artifact.path, is_synthetic),
            totals=frame_table(pl.read_parquet(artifact.path / "totals.parquet")),
            top_five=frame_table(pl.read_parquet(artifact.path / "top.parquet")),
        )

    return _corpus_statistics


def top_five_picture(folder: Path, is_synthetic: bool) -> dg.MarkdownMetadataValue:
    """Top five departments, diagnoses and boroughs of each group of notes, as bars."""
    # Matplotlib takes its time to import; the definitions do without it.
    from lang1_assets.ops import figures

    totals, top = (pl.read_parquet(folder / f"{name}.parquet") for name in ("totals", "top"))
    picture = figures.top_five_picture(totals, top, is_synthetic=is_synthetic)
    return dg.MetadataValue.md(figures.inline_png(picture, "Top five departments, diagnoses and boroughs"))


def frame_table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    return markdown_table(frame.columns, frame.rows())
