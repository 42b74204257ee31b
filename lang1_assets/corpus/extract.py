"""Extraction: the hospital's tables and the web text come in, and dbt turns tables into typed, checked staging and cohorts."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)

from lang1_assets.materialization import DATA_OWNER, SYNTHETIC, materialized
from lang1_assets.ops.compiled_sql import cohort_sql_sha256, write_compiled_sql
from lang1_assets.ops.forgetting.leaving_out import blank_rows, remove_rows
from lang1_assets.ops.forgetting.subjects import (
    FOLDER,
    forgotten_subjects,
    left_out,
    require_nothing_unfinished,
)
from lang1_assets.ops.sources.intake import flatten_source, source_layout
from lang1_assets.ops.sources.layout import FLATTENED_KINDS, SourceLayout
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.resources.store import Artifact, ArtifactStore, listing_hash
from lang1_assets.settings import Settings, TextSource, lang1_home
from lang1_assets.sql import PROJECT_FOLDER, build_variables, dbt_variables, source_variables, sql_hash

GROUP = "extract"
WAREHOUSE = "warehouse"
CHECKS_FILE = "checks.json"
SQL_FOLDER = "sql"
# Beside the interpreter: nothing needs to be on the PATH.
DBT_EXECUTABLE = str(Path(sys.executable).with_name("dbt"))


def build_assets(settings: Settings) -> list[Any]:
    return [
        hospital_exports(settings),
        web_text_source(settings),
        *(text_source(name, source) for name, source in settings.text_sources.items()),
        warehouse(settings),
    ]


def hospital_exports(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="hospital_exports",
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"csv"} if settings.is_synthetic else {settings.source.kind.replace("_", "")},
        description="The hospital's records as they came: patients, encounters, notes, diagnoses, claims. "
        + (SYNTHETIC if settings.is_synthetic else f"Read where the profile says, as kind '{settings.source.kind}'."),
    )
    def _hospital_exports(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        require_nothing_unfinished(lang1_home())
        if settings.is_synthetic:
            values = {
                "num_encounters": settings.source.num_encounters,
                "seed": settings.seed,
                "site": settings.source.site,
                "dirt_rate": settings.source.dirt_rate,
            }
            return materialized(simulate(context, store, values))
        return materialized(take_records(context, settings, store))

    return _hospital_exports


def simulate(context: dg.AssetExecutionContext, store: ArtifactStore, values: Mapping[str, Any]) -> Artifact:
    def make(work: Path) -> dict[str, Any]:
        # The simulator brings scipy; the definitions do without it.
        from lang1_assets.ops.hospital import HospitalConfig, write_exports

        summary = write_exports(work, HospitalConfig(**values), context.log.debug)
        gone = remove_rows(work, forgotten_subjects(lang1_home()))
        told = {"forgotten_rows": gone} if gone else {}
        return {"num_rows": summary.num_rows, "planted_dirt": summary.dirt, "synthetic": True, **told}

    return store.build(
        "hospital_exports",
        make,
        parameters={**values, **left_out(lang1_home())},
        code=["lang1_assets.ops.hospital", "lang1_assets.ops.schemas"],
        on_wait=context.log.warning,
    )


def take_records(context: dg.AssetExecutionContext, settings: Settings, store: ArtifactStore) -> Artifact:
    """A hospital's own records: checked for tables and columns, and flattened where they are no tables; never changed."""
    source = settings.source
    if source.postgres_schema is not None:
        from lang1_assets.ops.sources import server

        state = server.schema_state(source.postgres_schema)
        server.server_layout(PROJECT_FOLDER, source.kind, source.postgres_schema)
        summary = {"schema": source.postgres_schema, "num_relations": len(state), "synthetic": False}
        return store.build("hospital_exports", lambda work: summary, parameters={"state": state})
    folder = source.path
    assert folder is not None, "the profile requires a path or a schema"
    if not folder.is_dir():
        raise dg.Failure(f"{folder} is not a folder; set source.path to where the hospital's files are")
    files = [path for path in folder.rglob("*") if path.is_file()]
    remittances = [path for path in source.remittances.rglob("*") if path.is_file()] if source.remittances else []
    if source.kind not in FLATTENED_KINDS:
        files = source_layout(PROJECT_FOLDER, source.kind, folder, folder).files

    def make(work: Path) -> dict[str, Any]:
        counted = flatten_source(
            source.kind, folder, source.remittances, work, context.log.info, time_zone=source.fhir_time_zone
        )
        blank_rows(work, forgotten_subjects(lang1_home()))
        layout = source_layout(PROJECT_FOLDER, source.kind, folder, work, source.remittances)
        return {
            "num_files": len(files) + len(remittances),
            "num_bytes": sum(file.stat().st_size for file in files + remittances),
            "absent_tables": list(layout.absent),
            "ignored_columns": {name: list(columns) for name, columns in layout.ignored_columns.items()},
            "flattened": counted,
            "synthetic": False,
        }

    return store.build(
        "hospital_exports",
        make,
        parameters={
            "path": str(folder),
            "listing": listing_hash(files),
            "remittances": listing_hash(remittances),
            "time_zone": source.fhir_time_zone,
            **left_out(lang1_home()),
        },
        code=["lang1_assets.ops.sources"],
        on_wait=context.log.warning,
    )


def find_layout(settings: Settings, exports: Artifact) -> SourceLayout:
    source = settings.source
    if source.postgres_schema is not None:
        from lang1_assets.ops.sources import server

        return server.server_layout(PROJECT_FOLDER, source.kind, source.postgres_schema)
    return source_layout(PROJECT_FOLDER, source.sql_kind, source.path or exports.path, exports.path, source.remittances)


def web_text_source(settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        name="web_text_source",
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"json"},
        description="Web text in the SlimPajama layout: .jsonl.zst files of seven subsets, and comprehension questions. "
        + (SYNTHETIC if settings.web_text.kind == "embedded" else "Read from the folder that the profile names."),
    )
    def _web_text_source(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        return materialized(take_web_text(settings, store))

    return _web_text_source


def take_web_text(settings: Settings, store: ArtifactStore) -> Artifact:
    source = settings.web_text
    if source.kind == "embedded":

        def write(work: Path) -> dict[str, Any]:
            from lang1_assets.ops.hospital import write_web_text

            return {**vars(write_web_text(work, source.num_documents, settings.seed)), "synthetic": True}

        return store.build(
            "web_text_source",
            write,
            parameters={"num_documents": source.num_documents, "seed": settings.seed},
            code=["lang1_assets.ops.hospital"],
        )
    assert source.path is not None, "the profile requires a path for kind 'slimpajama'"
    return take_text_files(store, "web_text_source", source.path, "web_text.path")


def text_source(name: str, source: TextSource) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{name}_text_source",
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"json"},
        description=f"The text that the profile calls '{name}', read from the folder that it names, in the SlimPajama layout.",
    )
    def _text_source(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        return materialized(take_text_files(store, f"{name}_text_source", source.path, f"text_sources.{name}.path"))

    return _text_source


def take_text_files(store: ArtifactStore, artifact: str, folder: Path, setting: str) -> Artifact:
    """A folder of text as it is: linked, never copied; names, sizes and times of its files make the fingerprint."""
    files = sorted([*folder.glob("**/*.jsonl"), *folder.glob("**/*.jsonl.zst")])
    if not files:
        raise dg.Failure(f"{folder}: no .jsonl or .jsonl.zst files; set {setting} to the folder that holds them")

    def make(work: Path) -> dict[str, Any]:
        (work / "files").symlink_to(folder, target_is_directory=True)
        return {"num_files": len(files), "num_bytes": sum(file.stat().st_size for file in files), "synthetic": False}

    return store.build(artifact, make, parameters={"path": str(folder), "listing": listing_hash(files)})


def dbt_project(settings: Settings) -> DbtProject:
    """The SQL project for one kind of source, its manifest prepared if it is missing or older than the SQL."""
    source = settings.source
    parts = [source.sql_kind, *(["x12_835"] if source.remittances else []), source.database]
    project = DbtProject(
        project_dir=PROJECT_FOLDER,
        profiles_dir=PROJECT_FOLDER,
        # By dbt's own variable elsewhere: in a container the project's folder cannot be written.
        target_path=Path(os.environ.get("DBT_TARGET_PATH", "target")) / "-".join(parts),
        target=source.database,
    )
    newest = max(path.stat().st_mtime for path in _dbt_sources())
    if not project.manifest_path.exists() or project.manifest_path.stat().st_mtime < newest:
        prepare_manifest(project.manifest_path, settings)
    return project


def prepare_manifest(path: Path, settings: Settings) -> None:
    """Parse the SQL project; several processes may do so at once, each beside the other, and the last one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as beside:
        where = ["--project-dir", str(PROJECT_FOLDER), "--profiles-dir", str(PROJECT_FOLDER)]
        kind = ["--target", settings.source.database, "--vars", json.dumps(source_variables(settings.source))]
        command = [DBT_EXECUTABLE, "parse", *where, *kind, "--target-path", beside, "--log-path", beside]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{PROJECT_FOLDER}: dbt parse failed:\n{done.stdout[-3000:]}")
        (Path(beside) / path.name).rename(path)


def _dbt_sources() -> list[Path]:
    return [
        path
        for path in PROJECT_FOLDER.rglob("*")
        if path.suffix in {".sql", ".yml", ".py"} and "target" not in path.parts and "logs" not in path.parts
    ]


def warehouse(settings: Settings) -> Any:
    project = dbt_project(settings)

    # All source tables are the one asset that writes the exports.
    translator = DagsterDbtTranslator(settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    @dbt_assets(manifest=project.manifest_path, project=project, name=WAREHOUSE, dagster_dbt_translator=translator)
    def _warehouse(context: dg.AssetExecutionContext, dbt: DbtCliResource, store: ArtifactStore) -> Iterator[Any]:
        if context.selected_asset_keys != _warehouse.keys:
            raise dg.Failure(
                f"{len(context.selected_asset_keys)} of {len(_warehouse.keys)} tables are selected, but they are built "
                "together: start the job 'demo' or 'corpus', or select all tables of the groups 'extract' and 'label'",
                allow_retries=False,
            )
        require_nothing_unfinished(lang1_home())
        source = store.get("hospital_exports")
        layout = find_layout(settings, source)
        events: list[Any] = []

        def make(work: Path) -> dict[str, Any]:
            variables = build_variables(settings) | {"source_layout": layout.parts, "parquet_path": str(work)}
            # Unit tests are about the SQL under the default settings; the project's own tests run them.
            arguments = ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps(variables)]
            if settings.source.postgres_schema is not None:
                from lang1_assets.ops.sources import server

                server.put_forgotten(forgotten_subjects(lang1_home()))
            build = dbt.cli([*arguments, "--target", settings.source.database], context=context)
            # dbt repeats each of its 150 lines on stdout; its log file has them. One by one: what was found before a
            # failing test is kept.
            with contextlib.redirect_stdout(io.StringIO()):
                for event in build.stream():
                    events.append(event)
            if settings.source.postgres_schema is not None:
                from lang1_assets.ops.sources import server

                server.fetch_tables(parquet_tables(project.manifest_path), work)
            checks = [check_record(event) for event in events if isinstance(event, dg.AssetCheckResult)]
            (work / CHECKS_FILE).write_text(json.dumps(checks, indent=1))
            hashes = keep_sql(build.target_path / "manifest.json", work, settings, source)
            return {"num_checks": len(checks), "cohort_sql_sha256": hashes}

        try:
            artifact = store.build(
                WAREHOUSE,
                make,
                inputs=[source],
                parameters={
                    "sql": sql_hash(),
                    "variables": dbt_variables(settings),
                    "database": settings.source.database,
                    **left_out(lang1_home()),
                },
                code=["lang1_assets.ops.compiled_sql"],
                on_wait=context.log.warning,
            )
        except Exception:
            yield from events
            raise
        for line in reject_lines(artifact.path):
            context.log.info(line)
        yield from (reused_events(context, artifact) if artifact.reused else events)

    return _warehouse


def keep_sql(manifest: Path, work: Path, settings: Settings, exports: Artifact) -> dict[str, str]:
    """The SQL as it was run beside the tables that it made; task -> hash of all the SQL behind its cohort."""
    places = {
        str(work): "RESULTS",
        str(exports.path): "RECORDS",
        str(PROJECT_FOLDER): "PROJECT",
        str(lang1_home() / FOLDER): "FORGOTTEN",
    }
    if settings.source.path is not None:
        places[str(settings.source.path)] = "RECORDS"
    write_compiled_sql(manifest, work / SQL_FOLDER, places)
    return {task: cohort_sql_sha256(manifest, work / SQL_FOLDER, f"cohort_{task}") for task in REMEDE}


def parquet_tables(manifest: Path) -> list[str]:
    """The tables that later stages read, which on a server do not become files by themselves."""
    nodes = json.loads(manifest.read_text())["nodes"].values()
    return sorted(node["name"] for node in nodes if node.get("config", {}).get("materialized") == "parquet")


def reject_lines(warehouse_folder: Path) -> list[str]:
    """How many rows of each export were rejected and why: what a wrong date format or code does is seen at once."""
    rejects = pl.read_parquet(warehouse_folder / "rejects.parquet", columns=["source", "reason"])
    counts = rejects.group_by("source", "reason").len().sort("len", descending=True)
    return [f"rejected rows of {source}: {number} {reason}" for source, reason, number in counts.iter_rows()]


def check_record(event: dg.AssetCheckResult) -> dict[str, Any]:
    assert event.asset_key is not None, "dbt names the model of each test"
    return {
        "asset_key": event.asset_key.path,
        "check_name": event.check_name,
        "passed": event.passed,
        "severity": event.severity.value,
    }


def reused_events(context: dg.AssetExecutionContext, artifact: Artifact) -> Iterator[Any]:
    """What dbt found when these tables were built, said again: nothing it depends on has changed."""
    # Dagster wants the tables in the order of their dependencies.
    for key in TopologicalSorter(context.assets_def.asset_deps).static_order():
        if key not in context.selected_asset_keys:
            continue
        yield dg.MaterializeResult(asset_key=key, metadata=materialized(artifact).metadata)
    selected = {(key.asset_key, key.name) for key in context.selected_asset_check_keys}
    for record in json.loads((artifact.path / CHECKS_FILE).read_text()):
        if (dg.AssetKey(record["asset_key"]), record["check_name"]) in selected:
            yield dg.AssetCheckResult(
                asset_key=dg.AssetKey(record["asset_key"]),
                check_name=record["check_name"],
                passed=record["passed"],
                severity=dg.AssetCheckSeverity(record["severity"]),
                metadata={"status": "up to date, reused"},
            )
