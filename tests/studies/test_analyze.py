"""The analyses as assets: from evaluations in the store to tables, pictures, checks and MLflow."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.materialization import SYNTHETIC
from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from lang1_assets.studies import analyses, analyze
from tests.ops.analysis.notes import scored

VARIANT = "lang1-tiny-notesplus-webtexts"
SECRET = "zqsecretzq"


def profile(folder: Path, recipes: str = "joint") -> Settings:
    (folder / "ours.yaml").write_text(
        f"extends: tiny\nname: ours\nfinetune: {{recipes: [{recipes}]}}\n"
        "evaluate: {num_resamples: 40}\nanalyze: {min_notes: 30, min_events: 5, age_band_years: 30}\n"
    )
    return load_settings(str(folder / "ours.yaml"))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """One database for the module: a fresh one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(folder / "artifacts"),
        dagster_url="http://127.0.0.1:3000",
    )


def frames(task: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    splits = [("train", 2014), ("test", 2015), ("temporal_2024", 2024)]
    made = [scored(300, task=task, split=split, first_day=datetime(year, 1, 1)) for split, year in splits]
    predictions = pl.concat([held for (split, _), (held, _) in zip(splits, made, strict=True) if split != "train"])
    examples = pl.concat([held for _, held in made]).with_columns(
        # The first stays of 2024 are of patients of the training years; the same stays in every task.
        subject_id=pl.when(pl.col("note_id").str.contains(r"temporal_2024-\d\d?$"))
        .then(pl.lit("train-0"))
        .otherwise("subject_id"),
        encounter_id=pl.col("note_id").str.replace(f"^{task}", "e"),
        text=pl.lit(SECRET),
    )
    patients = examples.select("note_id", "subject_id")
    predictions = predictions.drop("subject_id").join(patients, on="note_id", maintain_order="left")
    return predictions.select(schemas.PREDICTIONS.names), examples.select(schemas.EXAMPLES.names)


def fill(
    store: ArtifactStore, switched_off: tuple[str, ...] = (), modes: tuple[str, ...] = ("zero_shot", "joint")
) -> None:
    predictions = []
    for task in TASKS:
        scores, examples = frames(task)
        if task in switched_off:
            store.build(f"{task}_examples", lambda work: {"switched_off": "no H&P notes"})
            continue

        def write(work: Path, examples: pl.DataFrame = examples) -> dict[str, Any]:
            examples.write_parquet(work / "examples.parquet")
            return {"switched_off": ""}

        store.build(f"{task}_examples", write)
        predictions.append(scores)
    for mode in modes:

        def evaluation(work: Path) -> dict[str, Any]:
            pl.concat(predictions).write_parquet(work / "predictions.parquet")
            return {}

        store.build(f"{mode}_evaluation/{VARIANT}", evaluation)

    def notes(work: Path) -> dict[str, Any]:
        (work / "notes").mkdir()
        frame = pl.DataFrame(
            {
                "note_id": ["n1", "n2", "n3"],
                "encounter_id": ["x1", "x2", "x3"],
                "subject_id": ["temporal_2024-100", "temporal_2024-101", "temporal_2024-102"],
                "note_type": ["hp", "hp", "hp"],
                # The last is after the window of Notes+.
                "written_time": [datetime(2015, 1, 1), datetime(2019, 1, 1), datetime(2024, 5, 1)],
                "text": [SECRET] * 3,
            }
        )
        frame.write_parquet(work / "notes" / "part-00000.parquet")
        return {}

    def tables(work: Path) -> dict[str, Any]:
        for task in TASKS:
            pl.DataFrame(schemas.COHORT.empty_table()).write_parquet(work / f"cohort_{task}.parquet")
        return {}

    store.build("clean_notes", notes)
    store.build("warehouse", tables)


def materialized(name: str, settings: Settings, store: ArtifactStore, tracking: Tracking) -> dg.ExecuteInProcessResult:
    asset = next(item for item in analyze.build_assets(settings) if item.key.to_user_string() == name)
    return dg.materialize(
        [asset],
        resources={"store": store, "tracking": tracking} if name != "label_dependence" else {"store": store},
        partition_key=VARIANT if name != "label_dependence" else None,
    )


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    return {key: value.value for key, value in result.asset_materializations_for_node(name)[0].metadata.items()}


def rows_of(store: ArtifactStore, name: str) -> list[dict[str, Any]]:
    return json.loads((store.get(f"{name}/{VARIANT}").path / "rows.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=str(tmp_path / "artifacts"))


@pytest.mark.parametrize("name", ["strata", "patient_overlap", "temporal_drift"])
def test_an_analysis_of_every_model_and_task(
    name: str, tmp_path: Path, store: ArtifactStore, tracking: Tracking
) -> None:
    from mlflow import MlflowClient

    fill(store)
    result = materialized(name, profile(tmp_path), store, tracking)
    rows = rows_of(store, name)
    assert {(row["mode"], row["task"]) for row in rows} == {
        (mode, task) for mode in ("zero_shot", "joint") for task in TASKS
    }
    shown = metadata(result, name)
    left_out = [row for row in rows if row["left_out"]]
    assert shown["num_left_out"] == len(left_out)
    assert len(shown["left_out"].splitlines()) == len(left_out) + 2
    said, table = shown["values"].split("\n\n")
    assert said == SYNTHETIC
    assert len(table.splitlines()) == len(rows) - len(left_out) + 2
    pictures = [value for value in shown.values() if isinstance(value, str) and value.startswith("![")]
    assert len(pictures) == (5 if name == "strata" else 1)
    assert (store.get(f"{name}/{VARIANT}").path / "figure.png").exists()
    client = MlflowClient(tracking.tracking_uri)
    run = client.get_run(shown["mlflow_run_id"])
    assert run.data.metrics[f"{name}/num_groups"] == len(rows)


def test_patients_of_pretraining_and_of_finetuning_are_seen(
    tmp_path: Path, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    materialized("patient_overlap", profile(tmp_path), store, tracking)
    rows = [row for row in rows_of(store, "patient_overlap") if row["task"] == "mortality"]
    seen = {row["mode"]: row["n"] for row in rows if row["group"] == "seen patients"}
    # Two patients of two notes each in the corpus; a hundred notes of a patient of the training years.
    assert seen == {"zero_shot": 4, "joint": 104}


def test_joint_has_met_the_patients_of_the_paper_s_tasks_alone() -> None:
    """A hospital's own task is no part of the joint recipe."""
    held = analyses.Evaluated(
        key=VARIANT,
        predictions={},
        examples={
            task: pl.DataFrame({"subject_id": [f"of {task}", f"tested on {task}"], "split": ["train", "test"]})
            for task in ("mortality", "comorbidity", "icu_transfer")
        },
        pretrained=pl.Series([], dtype=pl.String),
    )
    assert analyses.finetuning_patients(held, "joint") == {"of mortality", "of comorbidity"}
    assert analyses.finetuning_patients(held, "icu_transfer") == {"of icu_transfer"}
    assert analyses.finetuning_patients(held, "zero_shot") == set()


def test_random_weights_have_met_nobody_in_pretraining(tmp_path: Path, store: ArtifactStore) -> None:
    fill(store)
    settings, notes, tables = profile(tmp_path), store.get("clean_notes"), store.get("warehouse")
    assert len(analyses.pretraining_patients(settings, VARIANT, notes, tables)) == 2
    assert len(analyses.pretraining_patients(settings, "lang1-tiny-random", notes, tables)) == 0


def test_what_a_trained_model_fails_is_a_warning(tmp_path: Path, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    result = materialized("temporal_drift", profile(tmp_path), store, tracking)
    check = result.get_asset_check_evaluations()[0]
    dropped = [row for row in rows_of(store, "temporal_drift") if row["is_drop"] and row["mode"] == "joint"]
    assert check.passed == (not dropped)
    assert check.severity == dg.AssetCheckSeverity.WARN
    rows: list[Any] = [
        {"mode": "joint", "task": "mortality", "split": "s", "month": "m", "value": 0.6, "is_drop": True}
    ]
    assert analyze.DRIFT.warnings(rows) == ["In-hospital mortality, joint, s m: 0.600"]
    assert analyze.DRIFT.warnings([{**rows[0], "mode": "zero_shot"}]) == []


def test_no_text_in_what_an_analysis_writes(tmp_path: Path, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    for name in ("strata", "patient_overlap", "temporal_drift", "label_dependence"):
        result = materialized(name, profile(tmp_path), store, tracking)
        assert SECRET not in json.dumps(metadata(result, name), default=str)
    folders = (tmp_path, Path(tracking.artifact_root).parent)
    written = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and "_examples" not in str(path)
    ]
    assert not [path for path in written if "clean_notes" not in str(path) and SECRET.encode() in path.read_bytes()]


def test_a_task_that_is_switched_off_is_left_alone(tmp_path: Path, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store, switched_off=("mortality",))
    materialized("strata", profile(tmp_path), store, tracking)
    assert {row["task"] for row in rows_of(store, "strata")} == set(TASKS) - {"mortality"}
    result = materialized("label_dependence", profile(tmp_path), store, tracking)
    assert metadata(result, "label_dependence")["switched_off"] == "no H&P notes"
    assert result.get_asset_check_evaluations()[0].passed


@pytest.mark.parametrize("name", ["strata", "patient_overlap", "temporal_drift"])
def test_a_task_that_is_gone_since_the_evaluation_is_named(
    name: str, tmp_path: Path, store: ArtifactStore, tracking: Tracking
) -> None:
    """Of two: one that the source no longer supplies and a hospital's own whose file was removed."""
    fill(store)
    store.build("mortality_examples", lambda work: {"switched_off": "no H&P notes"}, parameters={"since": 2})
    with_own = pl.read_parquet(store.get(f"zero_shot_evaluation/{VARIANT}").path / "predictions.parquet")
    own = with_own.filter(task="readmission").with_columns(task=pl.lit("icu_transfer"))

    def evaluation(work: Path) -> dict[str, Any]:
        pl.concat([with_own, own]).write_parquet(work / "predictions.parquet")
        return {}

    for mode in ("zero_shot", "joint", "mortality"):
        store.build(f"{mode}_evaluation/{VARIANT}", evaluation, parameters={"since": 2})
    settings = profile(tmp_path, "joint, mortality")
    result = materialized(name, settings, store, tracking)
    assert metadata(result, name)["tasks_gone"] == "icu_transfer, mortality"
    found = {(row["mode"], row["task"]) for row in rows_of(store, name)}
    # Whom a model was finetuned on is not known where the task's examples are gone.
    modes = ("zero_shot", "joint") if name == "patient_overlap" else ("zero_shot", "joint", "mortality")
    assert found == {(mode, task) for mode in modes for task in set(TASKS) - {"mortality"}}


def test_an_evaluation_of_an_earlier_model_is_not_analyzed(
    tmp_path: Path, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    model = store.build(f"finetuned_joint/{VARIANT}", lambda work: {})
    scores = store.get(f"zero_shot_evaluation/{VARIANT}").path / "predictions.parquet"

    def evaluation(work: Path) -> dict[str, Any]:
        (work / "predictions.parquet").write_bytes(scores.read_bytes())
        return {}

    store.build(f"joint_evaluation/{VARIANT}", evaluation, inputs=[model])
    store.build(f"finetuned_joint/{VARIANT}", lambda work: {}, parameters={"since": 2})
    materialized("temporal_drift", profile(tmp_path), store, tracking)
    assert {row["mode"] for row in rows_of(store, "temporal_drift")} == {"zero_shot"}


def test_before_any_evaluation_the_asset_says_what_to_do(
    tmp_path: Path, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store, modes=())
    with pytest.raises(dg.Failure, match="materialize 'zero_shot_evaluation' for it first"):
        materialized("strata", profile(tmp_path), store, tracking)


def test_label_dependence(tmp_path: Path, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    result = materialized("label_dependence", profile(tmp_path), store, tracking)
    shown = metadata(result, "label_dependence")
    assert (shown["num_stays"], shown["only_mortality"], shown["only_length_of_stay"]) == (900, 0, 0)
    assert result.get_asset_check_evaluations()[0].passed
    assert "more than 5 days" in shown["values"]
    assert shown["values"].startswith(SYNTHETIC)


def test_stays_of_one_task_alone_are_counted_in_the_check() -> None:
    check = analyze.both_labels({"num_stays": 5, "only_mortality": 2, "only_length_of_stay": 0})
    assert not check.passed
    assert check.description == "2 stays only mortality"
