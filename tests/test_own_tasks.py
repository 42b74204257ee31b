"""A hospital's own task from its one file: settings, lineage, cohort, examples, leak checks, and what a job is told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from lang1_assets import checks
from lang1_assets.corpus import label
from lang1_assets.definitions import build_definitions
from lang1_assets.models.finetuned import Finetuning, job_config
from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.tasks import REMEDE, TASKS, use_own_tasks
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings, SettingsError, load_settings
from tests.ops.conftest import WORDS
from tests.ops.tasks.test_definitions import OWN, written
from tests.ops.test_own_cohorts import PLAIN, stays

NUM_NOTES = 200


@pytest.fixture(autouse=True)
def other_tests_know_only_the_paper_s() -> Iterator[None]:
    yield
    use_own_tasks(())


def profile(folder: Path, **changes: Any) -> Path:
    values = {"extends": "tiny", "name": "ours", "tasks_folder": "tasks", **changes}
    file = folder / "ours.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def loaded(folder: Path, **changes: Any) -> Settings:
    cohort = {"sql": PLAIN, "split_shares": [60, 20, 20], "outcome_phrases": ["fever (rising)"]}
    written(folder / "tasks", cohort=cohort)
    return load_settings(str(profile(folder, **changes)))


def test_a_profile_names_the_folder_relative_to_itself(tmp_path: Path) -> None:
    assert list(loaded(tmp_path).own_tasks) == ["icu_transfer"]
    assert loaded(tmp_path, finetune={"recipes": ["joint", "icu_transfer"]}).finetune.recipes[1] == "icu_transfer"


def test_what_is_wrong_with_a_task_is_said_when_the_profile_is_read(tmp_path: Path) -> None:
    written(tmp_path / "tasks", options=[True, False])
    with pytest.raises(SettingsError, match=r"icu_transfer\.yaml: options: expected 2 to 5"):
        load_settings(str(profile(tmp_path)))
    with pytest.raises(SettingsError, match=r"0 \.yaml files"):
        load_settings(str(profile(tmp_path, tasks_folder="none")))


def test_a_recipe_must_be_a_task(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"finetune\.recipes: no recipe icu; known: joint, readmission.*icu_transfer"
    ):
        loaded(tmp_path, finetune={"recipes": ["icu"]})


def test_its_assets_and_checks_are_in_the_lineage_of_this_profile_alone(tmp_path: Path) -> None:
    name = "icu_transfer"
    graph = build_definitions(loaded(tmp_path)).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {f"cohort_{name}", f"{name}_examples", f"finetuned_{name}", f"{name}_evaluation"} <= keys
    for user in ("zero_shot_evaluation", "harness_tasks"):
        assert dg.AssetKey(f"{name}_examples") in graph.get(dg.AssetKey(user)).parent_keys
    # A new task is no reason to train a model again.
    for upstream in ("pretrained_model", "notes_tokens", "finetuned_joint"):
        assert dg.AssetKey(f"{name}_examples") not in graph.get(dg.AssetKey(upstream)).parent_keys
    named = {key.name for key in graph.asset_check_keys if key.asset_key == dg.AssetKey(f"{name}_examples")}
    assert set(checks.names_of(TASKS[name])) <= named
    other = build_definitions(load_settings("tiny")).resolve_asset_graph()
    assert not [key for key in other.get_all_asset_keys() if name in key.to_user_string()]
    assert list(TASKS) == list(REMEDE)


def artifact(store: ArtifactStore, name: str, make: Any) -> Artifact:
    return store.build(name, lambda work: make(work) or {})


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """A warehouse and clean notes by hand; the labels of `PLAIN` are those of odd and even stays."""
    store = ArtifactStore(root=str(tmp_path / "artifacts"))

    def write_notes(work: Path) -> None:
        (work / "notes").mkdir()
        notes = stays(tmp_path / "tables", NUM_NOTES)
        texts = [" ".join(WORDS[(number * 7 + step) % len(WORDS)] for step in range(30)) for number in range(NUM_NOTES)]
        notes.select("note_id", "note_type", "written_time", text=pl.Series(texts)).write_parquet(
            work / "notes" / "part.parquet"
        )

    def write_tables(work: Path) -> None:
        stays(work, NUM_NOTES)
        empty = pl.DataFrame(schema={"encounter_id": pl.String, "split": pl.String})
        for task in REMEDE:
            empty.write_parquet(work / f"cohort_{task}.parquet")

    artifact(store, "warehouse", write_tables)
    artifact(store, "clean_notes", write_notes)
    return store


def test_cohort_examples_and_leak_checks_come_by_themselves(tmp_path: Path, store: ArtifactStore) -> None:
    settings = loaded(tmp_path, cohorts={"splits": "shares"}, corpora={"hold_out_test_stays": False})
    use_own_tasks(settings.own_tasks.values())
    task = TASKS["icu_transfer"]
    found = dg.materialize(
        [label.own_cohort(settings, task), label.examples(settings, task), checks.leaks(settings, task)],
        resources={"store": store},
        raise_on_error=True,
    )
    assert found.success
    examples = pl.read_parquet(store.get("icu_transfer_examples").path / "examples.parquet")
    assert examples.group_by("split").len().sort("split")["len"].to_list() == [40, 120, 40]
    assert store.get("icu_transfer_examples").summary["switched_off"] is None
    results = {result.check_name: result for result in found.get_asset_check_evaluations()}
    assert set(checks.names_of(task)) <= set(results)
    assert results["no_note_in_two_splits"].passed
    assert results["note_within_its_window"].passed
    meds = pl.read_parquet(store.get("icu_transfer_examples").path / "meds_labels.parquet")
    assert len(meds) == NUM_NOTES


def on(base: Artifact, task: str) -> Finetuning:
    return Finetuning(artifact="", title="", variant="lang1-tiny-notes", recipe=task, base=base, examples={task: base})


def test_a_job_is_told_of_the_task(tmp_path: Path, store: ArtifactStore) -> None:
    """It may run on a machine that has neither the profile nor the folder."""
    settings = loaded(tmp_path)
    use_own_tasks(settings.own_tasks.values())
    base = Artifact(name="base", path=tmp_path, fingerprint="", summary={"trajectory": ["tokens-1"]})
    told = json.loads(json.dumps(job_config(settings, on(base, "icu_transfer"))))
    use_own_tasks(())
    config = FinetuneConfig.from_json(told)
    use_own_tasks(config.own_tasks)
    assert TASKS["icu_transfer"].question == OWN["question"]
    assert TASKS["icu_transfer"] == settings.own_tasks["icu_transfer"]
    assert job_config(settings, on(base, "mortality"))["own_tasks"] == []
