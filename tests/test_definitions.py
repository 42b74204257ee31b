"""The definitions as a whole: what they load, what every asset says of itself, and that the lineage has no loose ends."""

import json
import subprocess
import sys
from typing import Any

import dagster as dg
import pytest

from lang1_assets import checks
from lang1_assets.corpus import extract
from lang1_assets.definitions import COHORTS_JOB, CORPUS_JOB, DEMO_JOB, defs
from lang1_assets.materialization import SYNTHETIC
from lang1_assets.ops.tasks import TASKS
from lang1_assets.settings import RECIPES, load_settings

HEAVY = ("torch", "deepspeed", "mlflow", "transformers", "dask", "optuna")
# Where something can go wrong that an asset can see; dbt models bring their own tests.
WITHOUT_CHECKS = {
    "hospital_exports",
    "web_text_source",
    "corpus_statistics",
    "model_in_service",
    "cohort_tables",
}


@pytest.fixture(scope="module")
def graph() -> Any:
    return defs.resolve_asset_graph()


def test_importing_the_definitions_loads_nothing_heavy() -> None:
    code = f"import sys, json, lang1_assets.definitions; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_definitions_are_loadable() -> None:
    dg.Definitions.validate_loadable(defs)


def test_no_asset_depends_on_one_that_nobody_makes(graph: Any) -> None:
    """A typing error in `deps` silently makes a stub asset."""
    elsewhere = load_settings().elsewhere
    there = f"{load_settings(elsewhere).name}/" if elsewhere else "nowhere/"
    others = {key.to_user_string() for key in graph.external_asset_keys}
    assert {name for name in others if not name.startswith(there)} == set()
    assert len(others) == (3 if elsewhere else 0)


def test_every_asset_says_what_it_is(graph: Any) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        name = key.to_user_string()
        assert node.description, f"{name} has no description"
        assert node.owners, f"{name} has no owner"
        assert node.group_name != "default", f"{name} has no group"
        assert node.kinds, f"{name} has no kinds"


def test_every_asset_with_numbers_says_that_they_are_of_no_patient(graph: Any) -> None:
    """On the synthetic profile; on a hospital's own records none does."""
    assert load_settings().is_synthetic
    groups = {"study", "analyze", "evaluate", "report"}
    found = [graph.get(key) for key in graph.get_all_asset_keys() if graph.get(key).group_name in groups]
    assert {node.group_name for node in found} == groups
    assert [node.key.to_user_string() for node in found if SYNTHETIC not in node.description] == []


def test_assets_where_something_can_go_wrong_have_a_check(graph: Any) -> None:
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    made = graph.get_all_asset_keys() - graph.external_asset_keys
    own = {key.to_user_string() for key in made if "dbt" not in graph.get(key).kinds}
    assert own - checked - WITHOUT_CHECKS == set()


def test_the_demo_job_holds_the_whole_path() -> None:
    job = defs.resolve_job_def(DEMO_JOB)
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    recipes = load_settings().finetune.recipes
    wanted = {"hospital_exports", "stg_notes", "clean_notes", "tokenizer", "notes_plus_tokens", "pretrained_model"}
    wanted |= {"zero_shot_evaluation", "report"}
    wanted |= {f"finetuned_{recipe}" for recipe in recipes} | {f"{recipe}_evaluation" for recipe in recipes}
    assert wanted <= keys
    assert not {f"finetuned_{recipe}" for recipe in RECIPES if recipe not in recipes} & keys


def test_the_corpus_job_makes_labels_to_look_at_and_finetunes_nothing() -> None:
    job = defs.resolve_job_def(CORPUS_JOB)
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"pretrained_model", *(f"{task}_examples" for task in TASKS)} <= keys
    assert not {key for key in keys if key.startswith("finetuned_") or key == "report"}


def test_the_cohorts_job_ends_with_the_labelled_notes() -> None:
    job = defs.resolve_job_def(COHORTS_JOB)
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert {"hospital_exports", "clean_notes", *(f"{task}_examples" for task in TASKS)} <= keys
    assert not {key for key in keys if "web" in key or "model" in key or "tokens" in key or "elsewhere" in key}


@pytest.mark.parametrize("name", [DEMO_JOB, CORPUS_JOB, COHORTS_JOB])
def test_a_job_builds_all_tables_of_the_warehouse(name: str) -> None:
    # They are one artifact: a part of them would be taken for the whole, and dbt's tests join them.
    assert extract.warehouse(load_settings()).keys <= defs.resolve_job_def(name).asset_layer.executable_asset_keys


@pytest.mark.parametrize("kind", ["tables", "mimic_iii", "mimic_iv", "omop", "fhir"])
def test_every_kind_of_source_has_its_own_lineage(kind: str, tmp_path: Any) -> None:
    profile = tmp_path / "ours.yaml"
    profile.write_text(f"extends: tiny\nname: ours\nsource: {{kind: {kind}, path: files}}\n")
    found = extract.warehouse(load_settings(str(profile)))
    names = {key.to_user_string() for key in found.keys}
    assert {"stg_notes", "checked_notes", "cohort_mortality", f"{kind}__notes"} <= names
    others = {"tables", "mimic_iii", "mimic_iv", "omop", "fhir"} - {kind}
    assert not {name for name in names if name.split("__")[0] in others}
    assert {key.to_user_string() for key in found.dependency_keys - found.keys} == {"hospital_exports"}


@pytest.mark.parametrize("task", list(TASKS))
def test_every_task_is_checked_for_leaks(graph: Any, task: str) -> None:
    names = {key.name for key in graph.asset_check_keys if key.asset_key.to_user_string() == f"{task}_examples"}
    assert set(checks.names_of(TASKS[task])) <= names
