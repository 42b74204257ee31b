"""Cleaning: the paper's rules on Dask, duplicates, further text, and the statistics of what is left (paper 5.1, appendix G)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lang1_assets.materialization import DATA_OWNER, column_schema, markdown_table, materialized
from lang1_assets.ops import schemas
from lang1_assets.ops.corpora import chosen_notes
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings

GROUP = "clean"


def build_assets(settings: Settings) -> list[Any]:
    return [
        clean_notes(settings),
        duplicate_notes(settings),
        text_documents(settings, "web_text", "Web documents", "with their SlimPajama subset"),
        *(
            text_documents(settings, f"{name}_text", f"The documents of '{name}'", "with their subset if they name one")
            for name in settings.text_sources
        ),
        corpus_statistics(settings.is_synthetic),
    ]


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


def duplicate_notes(settings: Settings) -> dg.AssetsDefinition:
    config = settings.corpora

    @dg.asset(
        name="duplicate_notes",
        deps=["clean_notes"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"polars", "parquet"},
        description="Notes that a corpus leaves out because the same person's record says them already, each with the note "
        f"that stays for it. The profile says: {config.deduplication}. Labelled examples are built from all notes.",
        check_specs=[dg.AssetCheckSpec("rows_in_equal_rows_out", asset="duplicate_notes", blocking=True)],
    )
    def _duplicate_notes(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        notes = store.get("clean_notes")

        def make(work: Path) -> dict[str, Any]:
            if config.deduplication == "none":
                return {"corpora": {}}
            return {
                "corpora": {corpus: duplicates(context, settings, corpus, notes, work) for corpus in config.choices}
            }

        artifact = store.build(
            "duplicate_notes",
            make,
            inputs=[notes],
            parameters=duplicate_parameters(settings),
            code=["lang1_assets.ops.deduplication", "lang1_assets.ops.near_duplicates", "lang1_assets.ops.corpora"],
            on_wait=context.log.warning,
        )
        return materialized(artifact, [duplicates_add_up(artifact.summary["corpora"])])

    return _duplicate_notes


def duplicate_parameters(settings: Settings) -> dict[str, Any]:
    """What the duplicates depend on; the windows and types only when there are any."""
    corpora = settings.corpora
    if corpora.deduplication == "none":
        return {"deduplication": "none"}
    least = {"near_similarity": corpora.near_similarity} if corpora.deduplication == "near" else {}
    return {"deduplication": corpora.deduplication, "choices": corpora.choices, **least}


def duplicates(
    context: dg.AssetExecutionContext, settings: Settings, corpus: str, notes: Artifact, work: Path
) -> dict[str, Any]:
    """Duplicates among the notes of one corpus, so that none goes for a note that the corpus does not have."""
    from lang1_assets.ops import deduplication

    config = settings.corpora
    report = deduplication.write_duplicates(
        sorted((notes.path / "notes").glob("*.parquet")),
        work / corpus,
        chosen=chosen_notes(*config.choices[corpus]),
        near_similarity=config.near_similarity if config.deduplication == "near" else None,
        num_workers=settings.cleaning.num_workers,
        notes_per_group=settings.cleaning.partition_rows,
        on_progress=lambda done, total: context.log.info(f"duplicates of {corpus}: {done} of {total} parts"),
    )
    return dict(vars(report))


def duplicates_add_up(corpora: Mapping[str, Mapping[str, Any]]) -> dg.AssetCheckResult:
    wrong = [
        name
        for name, report in corpora.items()
        if report["rows_in"] != report["rows_kept"] + sum(report["duplicates_by_reason"].values())
    ]
    rows = [
        [
            name,
            report["rows_in"],
            report["rows_kept"],
            *(report["duplicates_by_reason"][why] for why in ("exact", "near")),
        ]
        for name, report in corpora.items()
    ]
    return dg.AssetCheckResult(
        check_name="rows_in_equal_rows_out",
        passed=not wrong,
        description=f"wrong in {', '.join(wrong)}"
        if wrong
        else None
        if rows
        else "switched off: corpora.deduplication",
        metadata={"notes": markdown_table(["corpus", "notes", "kept", "exact", "near"], rows)},
    )


def text_documents(settings: Settings, name: str, what: str, subset: str) -> dg.AssetsDefinition:
    """Text in the SlimPajama layout, from the asset `NAME_source`."""

    @dg.asset(
        name=name,
        deps=[f"{name}_source"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"parquet"},
        description=f"{what} as Parquet, {subset}; broken lines are kept as rejects.",
        check_specs=[dg.AssetCheckSpec("rows_in_equal_rows_out", asset=name, blocking=True)],
    )
    def _text_documents(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops.web_text import read_web_text

        source = store.get(f"{name}_source")
        folder = source.path / "files" if (source.path / "files").is_symlink() else source.path

        def make(work: Path) -> dict[str, Any]:
            report = read_web_text(
                folder,
                work,
                corpus=name,
                num_workers=settings.cleaning.num_workers,
                on_progress=lambda done, total: context.log.info(f"read {done} of {total} files of {name}"),
            )
            return dict(vars(report))

        artifact = store.build(
            name, make, inputs=[source], code=["lang1_assets.ops.web_text"], on_wait=context.log.warning
        )
        return materialized(artifact, [rows_in_equal_rows_out(artifact.summary)])

    return _text_documents


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
