"""Labelled notes of another hospital, as its own profile has made them (paper 5.2.3)."""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.materialization import (
    DATA_OWNER,
    SYNTHETIC,
    column_schema,
    markdown_table,
    materialized,
)
from lang1_assets.ops import schemas
from lang1_assets.ops.linking import link_or_copy
from lang1_assets.ops.tasks import TASKS, Task
from lang1_assets.resources.store import MANIFEST, Artifact, ArtifactError, ArtifactStore, source_hash
from lang1_assets.settings import Settings, SettingsError, load_settings
from lang1_assets.settings.study import ELSEWHERE_TASKS

GROUP = "elsewhere"
EXAMPLES_FILE = "examples.parquet"


def build_assets(settings: Settings) -> list[Any]:
    """Nothing where the profile names no other hospital."""
    if settings.elsewhere is None:
        return []
    there = load_settings(settings.elsewhere)
    if there.name == settings.name:
        raise SettingsError(f"elsewhere: '{settings.elsewhere}' is this very profile; name that of another hospital")
    tasks = [TASKS[name] for name in ELSEWHERE_TASKS]
    return [
        *(examples_there(there, task) for task in tasks),
        *(examples(settings, there, task) for task in tasks),
    ]


def key_there(there: Settings, task: Task) -> dg.AssetKey:
    return dg.AssetKey([there.name, f"{task.name}_examples"])


def examples_there(there: Settings, task: Task) -> dg.AssetSpec:
    """What the other hospital's own profile makes: in the lineage, and not made here."""
    return dg.AssetSpec(
        key_there(there, task),
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"parquet"},
        description=f"{task.title}: labelled notes of the other hospital, made by {command(there.name)}. "
        + (SYNTHETIC if there.is_synthetic else ""),
    )


def command(profile: str) -> str:
    return f"LANG1_PROFILE={profile} lang1 cohorts"


def examples(settings: Settings, there: Settings, task: Task) -> dg.AssetsDefinition:
    name = f"elsewhere_{task.name}_examples"

    @dg.asset(
        name=name,
        deps=[key_there(there, task), f"{task.name}_examples"],
        group_name=GROUP,
        owners=DATA_OWNER,
        kinds={"polars", "parquet"},
        description=f"{task.title}: labelled notes of another hospital, as its profile '{there.name}' has made them. "
        + (SYNTHETIC if there.is_synthetic else ""),
        metadata={"dagster/column_schema": column_schema(schemas.EXAMPLES), "question": task.question},
        check_specs=[dg.AssetCheckSpec("notes_of_another_hospital", asset=name, blocking=True)],
    )
    def _examples(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        from lang1_assets.ops.elsewhere import class_ratios

        if there.is_synthetic and not settings.is_synthetic:
            raise dg.Failure(
                f"elsewhere: the profile '{there.name}' is of a synthetic hospital, and this one reads real records: what one does "
                "on the other says nothing. Name a profile that reads another hospital's records, or leave `elsewhere` out.",
                allow_retries=False,
            )
        beside = there_store(store, there)
        other = take_from(beside, settings, task)
        cohort_sql = beside.get("warehouse").summary["cohort_sql_sha256"]
        artifact = store.build(
            name,
            lambda work: take(other, there, cohort_sql[task.name], task, work),
            parameters={"profile": there.name, "fingerprint": other.fingerprint},
            code=["lang1_assets.ops.elsewhere", "lang1_assets.ops.schemas", "lang1_assets.ops.tasks"],
            on_wait=context.log.warning,
        )
        if artifact.summary["switched_off"]:
            context.log.warning(
                f"{task.title} is switched off at the other hospital: {artifact.summary['switched_off']}"
            )
        path = artifact.path / EXAMPLES_FILE
        return materialized(
            artifact,
            [of_another_hospital(path, store.get(f"{task.name}_examples").path / EXAMPLES_FILE)],
            splits=markdown_table(["split", "notes", "patients", *task.options], class_ratios(path, task).rows()),
            **{"dagster/row_count": artifact.summary["num_examples"]},
        )

    return _examples


def there_store(store: ArtifactStore, there: Settings) -> ArtifactStore:
    """The other profile's artifacts, beside this one's."""
    return ArtifactStore(root=str(Path(store.root).parent / there.name))


def take_from(store: ArtifactStore, settings: Settings, task: Task) -> Artifact:
    """The other hospital's labelled notes, if they are there and up to date.

    Raises:
        dg.Failure: they are not; with the command that makes them.
    """
    name = f"{task.name}_examples"
    problem = what_is_behind(store, name)
    if problem is not None:
        raise dg.Failure(
            f"The other hospital's labelled notes cannot be taken: {problem}. Make them with: "
            f"{command(str(settings.elsewhere))}",
            allow_retries=False,
        )
    found = store.get(name)
    made_for = manifest_of(found)["parameters"]
    if (made_for["task"], made_for["version"]) != (task.name, task.version):
        raise dg.Failure(
            f"{found.path}: labels of {made_for['task']}, version {made_for['version']}; expected {task.name}, version "
            f"{task.version}. Make them again with: {command(str(settings.elsewhere))}",
            allow_retries=False,
        )
    return found


def what_is_behind(store: ArtifactStore, name: str) -> str | None:
    """What in an artifact's lineage is missing, was made again since, or was made by other code; None if all is up to date."""
    found = store.find(name)
    if found is None:
        return f"{store.path(name)} is not there"
    for module, known in manifest_of(found)["code"].items():
        if known != code_now(module):
            return f"{found.path} was made by other code of {module}"
    for source, fingerprint in found.inputs.items():
        behind = what_is_behind(store, source)
        if behind is not None:
            return behind
        if store.get(source).fingerprint != fingerprint:
            return f"{found.path} is older than {source}, from which it was made"
    return None


def manifest_of(artifact: Artifact) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((artifact.path / MANIFEST).read_text())
    return manifest


def code_now(module: str) -> str | None:
    try:
        return source_hash(module)
    except (ArtifactError, ModuleNotFoundError):
        return None


def take(other: Artifact, there: Settings, cohort_sql: str, task: Task, work: Path) -> dict[str, Any]:
    """The labelled notes as a file of this profile's own: a hard link, or a copy on another file system."""
    from lang1_assets.ops.elsewhere import ElsewhereError, check_examples, class_ratios

    source, off = other.path / EXAMPLES_FILE, other.summary["switched_off"]
    if not off:
        try:
            check_examples(source, task)
        except ElsewhereError as error:
            raise dg.Failure(
                f"{error}. Correct the profile '{there.name}' and make them again", allow_retries=False
            ) from None
    link_or_copy(source, work / EXAMPLES_FILE)
    return {
        "profile": there.name,
        "num_examples": other.summary["num_examples"],
        "num_notes": dict(class_ratios(source, task).select("split", "notes").rows()),
        "switched_off": off,
        "cohort_sql_sha256": cohort_sql,
        "synthetic": there.is_synthetic,
    }


def of_another_hospital(there: Path, here: Path) -> dg.AssetCheckResult:
    """A note of this hospital would have been learned from and tested on."""
    from lang1_assets.ops.elsewhere import num_shared

    shared = num_shared(there, here)
    return dg.AssetCheckResult(
        check_name="notes_of_another_hospital",
        passed=shared == 0,
        description=f"{shared} notes are those of this hospital" if shared else None,
        metadata={"notes_of_both_hospitals": shared},
    )
