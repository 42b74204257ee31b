"""Another hospital through its assets: its notes are taken, refused or made again, and every model is tested on them."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.evaluation import elsewhere, validate_elsewhere
from lang1_assets.resources.store import MANIFEST, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, SettingsError, load_settings
from lang1_assets.settings.study import ELSEWHERE_TASKS
from tests.ops.conftest import (  # noqa: F401
    PROMPT_CONTEXT,
    SPLIT_SIZES,
    model_folder,
    synthetic_examples,
    tokenizer_folder,
    vocab_size,
)

VARIANT = "lang1-tiny-notesplus-webtexts"
SECRET = "zqsecretzq"
THERE_SQL = dict.fromkeys(ELSEWHERE_TASKS, "cd" * 32)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "theirs.yaml").write_text("extends: tiny-elsewhere\nname: theirs\n")
    (tmp_path / "ours.yaml").write_text(
        "extends: tiny\nname: ours\nelsewhere: theirs.yaml\nfinetune: {recipes: [joint], note_tokens: 40}\n"
        f"model: {{context_length: {PROMPT_CONTEXT}}}\nmemorization: {{prompt_tokens: 20, continuation_tokens: 20}}\n"
        "evaluate: {num_resamples: 40}\n"
    )
    return load_settings(str(tmp_path / "ours.yaml"))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """This hospital's: its examples alone."""
    store = ArtifactStore(root=str(tmp_path / "artifacts" / "ours"))
    for task in ELSEWHERE_TASKS:
        write_examples(store, task, synthetic_examples(task))
    return store


@pytest.fixture
def there(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=str(tmp_path / "artifacts" / "theirs"))


def write_examples(store: ArtifactStore, task: str, frame: pl.DataFrame, switched_off: str | None = None) -> None:
    def write(work: Path) -> dict[str, Any]:
        frame.write_parquet(work / "examples.parquet")
        return {"num_examples": len(frame), "switched_off": switched_off}

    warehouse = store.build("warehouse", lambda work: {"cohort_sql_sha256": THERE_SQL})
    store.build(
        f"{task}_examples",
        write,
        inputs=[warehouse],
        parameters={"task": task, "version": 1, "rows": len(frame)},
        code=["lang1_assets.ops.tasks"],
    )


def notes_there(task: str) -> pl.DataFrame:
    return synthetic_examples(task).with_columns(note_id="X" + pl.col("note_id"), text=pl.col("text") + f" {SECRET}")


def fill(there: ArtifactStore) -> None:
    for task in ELSEWHERE_TASKS:
        write_examples(there, task, notes_there(task))


def made(settings: Settings, store: ArtifactStore, name: str, **changes: Any) -> dg.ExecuteInProcessResult:
    stages = [*elsewhere.build_assets(settings), *validate_elsewhere.build_assets(settings)]
    asset = next(item for item in stages if isinstance(item, dg.AssetsDefinition) and item.key.to_user_string() == name)
    return dg.materialize([asset], **({"resources": {"store": store}} | changes))


def taken(
    settings: Settings, store: ArtifactStore, task: str = "mortality", **changes: Any
) -> dg.ExecuteInProcessResult:
    return made(settings, store, f"elsewhere_{task}_examples", **changes)


def test_notes_are_taken_and_stay_when_the_other_folder_goes(
    settings: Settings, store: ArtifactStore, there: ArtifactStore
) -> None:
    fill(there)
    result = taken(settings, store)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    source = there.get("mortality_examples")
    found = store.get("elsewhere_mortality_examples")
    assert json.loads((found.path / MANIFEST).read_text())["parameters"]["fingerprint"] == source.fingerprint
    assert found.summary["num_notes"] == SPLIT_SIZES
    shutil.rmtree(there.root)
    assert pl.read_parquet(found.path / "examples.parquet").equals(notes_there("mortality"))
    metadata = result.asset_materializations_for_node("elsewhere_mortality_examples")[0].metadata
    assert "| train | 40 | 7 | 0.500 | 0.500 |" in metadata["splits"].value
    assert SECRET not in str(metadata)


def failure(settings: Settings, store: ArtifactStore) -> str:
    with pytest.raises(dg.Failure) as caught:
        taken(settings, store)
    return str(caught.value.description)


def test_what_is_not_there_says_how_it_is_made(settings: Settings, store: ArtifactStore) -> None:
    said = failure(settings, store)
    assert "mortality_examples is not there" in said
    assert f"LANG1_PROFILE={settings.elsewhere} lang1 cohorts" in said


def test_notes_older_than_what_they_were_made_from_are_refused(
    settings: Settings, store: ArtifactStore, there: ArtifactStore
) -> None:
    fill(there)
    there.build("warehouse", lambda work: {"cohort_sql_sha256": THERE_SQL}, parameters={"seed": 2})
    said = failure(settings, store)
    assert "is older than warehouse" in said
    assert "lang1 cohorts" in said
    shutil.rmtree(there.path("warehouse"))
    assert "warehouse is not there" in failure(settings, store)


def test_notes_by_other_code_are_refused(settings: Settings, store: ArtifactStore, there: ArtifactStore) -> None:
    fill(there)
    path = there.path("mortality_examples") / MANIFEST
    manifest = json.loads(path.read_text())
    for code in ({"lang1_assets.ops.tasks": "0" * 16}, {"lang1_assets.ops.gone": "0" * 16}):
        path.write_text(json.dumps({**manifest, "code": code}))
        assert f"made by other code of {next(iter(code))}" in failure(settings, store)


def test_notes_of_another_version_of_the_task_are_refused(
    settings: Settings, store: ArtifactStore, there: ArtifactStore
) -> None:
    fill(there)
    path = there.path("mortality_examples") / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "parameters": {"task": "mortality", "version": 99}}))
    assert "version 99; expected mortality, version 1" in failure(settings, store)


def test_notes_with_other_columns_are_refused(settings: Settings, store: ArtifactStore, there: ArtifactStore) -> None:
    write_examples(there, "mortality", notes_there("mortality").drop("age"))
    assert "column age: found none" in failure(settings, store)
    assert store.find("elsewhere_mortality_examples") is None


def test_this_hospital_s_own_notes_do_not_pass_for_another_one_s(
    settings: Settings, store: ArtifactStore, there: ArtifactStore
) -> None:
    write_examples(there, "mortality", synthetic_examples("mortality"))
    result = taken(settings, store, raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert not result.success
    assert "90 notes are those of this hospital" in str(check.description)


def test_new_notes_there_are_taken_anew(settings: Settings, store: ArtifactStore, there: ArtifactStore) -> None:
    fill(there)
    taken(settings, store)
    before = store.get("elsewhere_mortality_examples")
    taken(settings, store)
    assert store.get("elsewhere_mortality_examples").created == before.created
    write_examples(there, "mortality", notes_there("mortality").filter(pl.col("note_id") != "Xmo-train-000"))
    taken(settings, store)
    assert store.get("elsewhere_mortality_examples").summary["num_notes"]["train"] == SPLIT_SIZES["train"] - 1


def test_the_other_hospital_s_notes_are_in_the_lineage_and_not_made_here(settings: Settings) -> None:
    assets = elsewhere.build_assets(settings)
    specs = {item.key.to_user_string() for item in assets if isinstance(item, dg.AssetSpec)}
    assert specs == {f"theirs/{task}_examples" for task in ELSEWHERE_TASKS}
    parents = {
        key.to_user_string() for item in assets if isinstance(item, dg.AssetsDefinition) for key in item.dependency_keys
    }
    assert specs <= parents


def test_no_other_hospital_no_assets(settings: Settings) -> None:
    alone = load_settings("tiny-elsewhere")
    assert elsewhere.build_assets(alone) == validate_elsewhere.build_assets(alone) == []
    with pytest.raises(SettingsError, match="is this very profile"):
        elsewhere.build_assets(alone.model_copy(update={"elsewhere": "tiny-elsewhere"}))


def models(store: ArtifactStore, folder: Path, recipes: tuple[str, ...]) -> None:
    def copied(name: str) -> Any:
        def make(work: Path) -> dict[str, Any]:
            shutil.copytree(folder, work / name)
            return {"trajectory": ["tokens-100"]}

        return make

    base = store.build(f"pretrained_model/{VARIANT}", copied("trajectory/tokens-100"))
    for recipe in recipes:
        store.build(f"finetuned_{recipe}/{VARIANT}", copied("model"), inputs=[base])


@pytest.fixture
def resources(store: ArtifactStore, tmp_path: Path) -> dict[str, Any]:
    tracking = Tracking(
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(tmp_path / "mlflow"),
        dagster_url="http://127.0.0.1:3000",
    )
    return {"store": store, "tracking": tracking}


def test_every_model_is_tested_there(
    settings: Settings,
    store: ArtifactStore,
    there: ArtifactStore,
    resources: dict[str, Any],
    model_folder: Path,  # noqa: F811
) -> None:
    fill(there)
    for task in ELSEWHERE_TASKS:
        taken(settings, store, task)
    models(store, model_folder, ("joint", "mortality", "elsewhere_mortality", "matched_length_of_stay"))
    result = made(settings, store, "elsewhere_evaluation", resources=resources, partition_key=VARIANT)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    asked = {
        "zero_shot": set(ELSEWHERE_TASKS),
        "joint": set(ELSEWHERE_TASKS),
        "mortality": {"mortality"},
        "elsewhere_mortality": {"mortality"},
        "matched_length_of_stay": {"length_of_stay"},
    }
    folder = store.path(f"elsewhere_evaluation/{VARIANT}")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(asked)
    for mode, tasks in asked.items():
        predictions = pl.read_parquet(folder / mode / "predictions.parquet")
        assert set(predictions["task"]) == tasks
        assert set(predictions["split"]) == {"test"}
        assert len(predictions) == len(tasks) * SPLIT_SIZES["test"]
        assert predictions["note_id"].str.starts_with("X").all()
        record = json.loads((folder / mode / "record.json").read_text())
        assert (record["mode"], record["detail"]) == (mode, "at theirs")
        assert {used["cohort_sql_sha256"] for used in record["tasks"].values()} == {"cd" * 32}
        rows = json.loads((folder / mode / "rows.json").read_text())
        assert {row["oracle"] for row in rows} == {None}
        assert {row["trained_on"] for row in rows} == {None if mode == "zero_shot" else mode}
    shown = result.asset_materializations_for_node("elsewhere_evaluation")[0].metadata["auroc"].value
    assert len(shown.splitlines()) == 2 + sum(len(tasks) for tasks in asked.values())


def test_an_encoder_has_nothing_to_say_before_it_is_finetuned(
    settings: Settings, store: ArtifactStore, there: ArtifactStore, resources: dict[str, Any]
) -> None:
    fill(there)
    for task in ELSEWHERE_TASKS:
        taken(settings, store, task)
    variant = settings.variants[VARIANT].model_copy(update={"architecture": "encoder"})
    encoder = settings.model_copy(update={"variants": {VARIANT: variant}})
    with pytest.raises(dg.Failure, match="finetune it on"):
        made(encoder, store, "elsewhere_evaluation", resources=resources, partition_key=VARIANT)
