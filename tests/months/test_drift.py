"""Drift as an asset: from landed months in the store to a report, two checks, pictures, MLflow, and who asks for it."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.months import drift, drift_due, drift_reference, drift_tables, drifted
from lang1_assets.ops.drift import figure
from lang1_assets.resources.store import ArtifactError, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings
from tests.mlflow_database import database  # noqa: F401
from tests.months.drift_store import SECRET, TASKS, fill, land, profile, serve


@pytest.fixture
def tracking(database: Path) -> Tracking:  # noqa: F811
    return Tracking(
        tracking_uri=f"sqlite:///{database}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(database.parent / "artifacts"),
        dagster_url="http://127.0.0.1:3000",
    )


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=str(tmp_path / "artifacts"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return profile(tmp_path)


@pytest.fixture
def real_pictures() -> None:
    """For tests that look at them: drawing takes most of the time."""


@pytest.fixture(autouse=True)
def pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_pictures" not in request.fixturenames:
        for name in ("performance_picture", "inputs_picture"):
            monkeypatch.setattr(figure, name, lambda *args, **options: b"a picture")


def materialized(settings: Settings, store: ArtifactStore, tracking: Tracking) -> dg.ExecuteInProcessResult:
    resources = {"store": store, "tracking": tracking}
    return dg.materialize(drift.build_assets(settings), resources=resources, partition_key="joint")


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {key: value.value for key, value in result.asset_materializations_for_node("drift")[0].metadata.items()}


def rows(store: ArtifactStore) -> pl.DataFrame:
    return pl.read_parquet(store.get("drift/joint").path / "rows.parquet")


def test_months_like_the_reference_pass(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    from mlflow import MlflowClient

    fill(store)
    for number, month in enumerate(("2025-01", "2025-02", "2025-04")):
        land(store, month, seed=200 + 10 * number)
    result = materialized(settings, store, tracking)
    assert all(check.passed for check in checks(result).values())
    assert {check.severity for check in checks(result).values()} == {dg.AssetCheckSeverity.WARN}
    held = rows(store)
    assert held["month"].unique().sort().to_list() == ["2025-01", "2025-02", "2025-04"]
    assert set(held["task"]) == set(TASKS)
    shown = metadata(result)
    assert shown["performance"].count("\n") == 2 + 6 - 1
    assert shown["performance_picture"].startswith("![AUROC and calibration by month](data:image/png")
    assert (shown["newest_month"], shown["num_months"], shown["num_worse"]) == ("2025-04", 3, 0)
    history = MlflowClient(tracking.tracking_uri).get_metric_history(shown["mlflow_run_id"], "auroc/mortality")
    assert [one.step for one in history] == [0, 1, 3]
    value = held.filter(month="2025-04", task="mortality", statistic="auroc")["value"][0]
    assert history[-1].value == pytest.approx(value)


def test_a_drop_in_the_newest_month_fails_and_proposes_retraining(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    land(store, "2025-01")
    land(store, "2025-02", signal={"mortality": 0.2}, seed=300)
    check = checks(materialized(settings, store, tracking))["no_significant_drop"]
    assert not check.passed
    assert (check.description or "").startswith("Retraining proposed. In-hospital mortality 2025-02: AUROC 0.")
    assert "4 tests at 1.0% together (Holm)" in (check.description or "")
    table = str(check.metadata["tested"].value)
    assert "| In-hospital mortality | 2025-02 | AUROC |" in table
    assert table.count("| yes |") >= 1
    # An older month does not decide.
    land(store, "2025-03", seed=400)
    assert checks(materialized(settings, store, tracking))["no_significant_drop"].passed


def test_a_task_whose_labels_come_later_is_tested_on_its_own_newest_month(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    land(store, "2025-01", signal={"readmission": 0.2})
    land(store, "2025-02", tasks=("mortality",), seed=300)
    check = checks(materialized(settings, store, tracking))["no_significant_drop"]
    assert not check.passed
    assert "30-day readmission 2025-01: AUROC" in (check.description or "")


def test_other_notes_fail_the_check_of_the_inputs(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    land(store, "2025-01", made={"words": 80})
    result = materialized(settings, store, tracking)
    check = checks(result)["inputs_as_before"]
    assert not check.passed
    assert "Words of a note, median" in (check.description or "")
    assert check.metadata["false_alarm_rate_at_most"].value == pytest.approx(10 / 101)
    assert metadata(result)["num_changed"] >= 2


def test_half_an_export_fails_the_check_of_the_inputs(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    for number in range(4):
        land(store, f"2025-0{number + 1}", seed=200 + number, n=120 if number < 3 else 40)
    check = checks(materialized(settings, store, tracking))["inputs_as_before"]
    assert not check.passed
    assert "2025-04: usually 120 notes" in (check.description or "")


def test_a_month_of_one_class_is_named_and_left_out(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    land(store, "2025-01", reason={"mortality": "one class only: nothing to compare with"})
    result = materialized(settings, store, tracking)
    check = checks(result)["no_significant_drop"]
    assert check.passed
    assert "Left out: In-hospital mortality 2025-01: one class only: nothing to compare with." in (
        check.description or ""
    )
    held = rows(store).filter(task="mortality")
    # Its notes are looked at all the same.
    assert held.filter(statistic="words_median")["value"].is_not_null().all()
    assert held.filter(statistic="auroc")["value"].is_null().all()


def test_a_month_is_measured_once(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    land(store, "2025-01")
    materialized(settings, store, tracking)
    before = store.get("drift_month/joint/2025-01/m1")
    land(store, "2025-02", seed=300)
    materialized(settings, store, tracking)
    assert store.get("drift_month/joint/2025-01/m1").created == before.created
    again = materialized(settings, store, tracking)
    assert metadata(again)["status"] == "up to date, reused"


def test_a_corrected_month_is_measured_again(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    land(store, "2025-01")
    materialized(settings, store, tracking)
    before = rows(store).filter(statistic="auroc")["value"].to_list()
    land(store, "2025-01", content="c2", seed=500)
    materialized(settings, store, tracking)
    assert rows(store).filter(statistic="auroc")["value"].to_list() != before
    # What the same model made of the earlier revision is history, and no month of its own.
    assert rows(store).filter(statistic="auroc").height == 2


def test_a_month_that_was_scored_before_it_was_corrected_waits(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    land(store, "2025-01")
    land(store, "2025-02", seed=300)
    store.build("landed_cohorts/2025-02", lambda work: {"export": {"content": "c2"}, "tasks": {}})
    materialized(settings, store, tracking)
    assert rows(store)["month"].unique().to_list() == ["2025-01"]


def test_each_model_is_judged_by_its_own_reference(
    settings: Settings, store: ArtifactStore, tracking: Tracking, real_pictures: None
) -> None:
    fill(store, signal=0.6)
    land(store, "2025-01", signal=dict.fromkeys(TASKS, 0.6))
    assert checks(materialized(settings, store, tracking))["no_significant_drop"].passed
    # A far better model takes over, and scores the month again; the reference of the earlier one is kept.
    serve(store, "m2", signal=3.0)
    land(store, "2025-01", model="m2", signal=dict.fromkeys(TASKS, 3.0))
    result = materialized(settings, store, tracking)
    assert checks(result)["no_significant_drop"].passed
    # The notes are the same whoever scores them, and they are tested once.
    assert checks(result)["inputs_as_before"].metadata["false_alarm_rate_at_most"].value == pytest.approx(10 / 101)
    held = rows(store).filter(statistic="auroc")
    assert set(held["model"]) == {"m1", "m2"}
    assert held.filter(model="m1")["reference"].max() < 0.8 < held.filter(model="m2")["reference"].min()  # type: ignore[operator]
    shown = metadata(result)
    assert [name for name in shown if name.startswith("before_")] == ["before_lang1-tiny-notesplus-webtexts_m1"]
    assert shown["performance"].count("\n") == 2 + 2 - 1
    drawn = {path.name: path.read_bytes()[:4] for path in store.get("drift/joint").path.glob("*.png")}
    names = ("performance", "performance_m1", "notes", "words_and_scores")
    assert set(drawn) == {f"{name}{suffix}.png" for name in names for suffix in ("", "-phone")}
    assert set(drawn.values()) == {b"\x89PNG"}


def test_a_model_of_which_nothing_is_kept_is_shown_and_not_judged(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    land(store, "2025-01", model="lost")
    result = materialized(settings, store, tracking)
    held = rows(store).filter(statistic="auroc")
    assert held["value"].is_not_null().all()
    assert held["reference"].is_null().all()
    assert "Nothing was tested" in (checks(result)["no_significant_drop"].description or "")


def test_a_model_that_has_scored_no_month_yet_is_not_judged_by_another_s(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    fill(store)
    land(store, "2025-01", signal=dict.fromkeys(TASKS, 0.2))
    assert not checks(materialized(settings, store, tracking))["no_significant_drop"].passed
    serve(store, "m2")
    result = materialized(settings, store, tracking)
    check = checks(result)["no_significant_drop"]
    assert check.passed
    assert "no month that lang1-tiny-notesplus-webtexts (m2) scored" in (check.description or "")
    shown = metadata(result)
    assert shown["performance"].count("\n") == 1
    assert shown["before_lang1-tiny-notesplus-webtexts_m1"].count("\n") == 2 + 2 - 1


def test_a_reference_is_found_where_the_model_was_evaluated(settings: Settings, store: ArtifactStore) -> None:
    fill(store)
    variant = next(iter(settings.variants))
    model = store.build(f"finetuned_joint/{variant}", lambda work: {})
    source = store.get("model_in_service/joint")

    def evaluation(work: Path) -> dict[str, Any]:
        (work / "predictions.parquet").write_bytes((source.path / "predictions.parquet").read_bytes())
        return {}

    made = store.build(f"joint_evaluation/{variant}", evaluation, inputs=[model])
    found = drift_reference.evaluation_of(store, settings, "joint", model.fingerprint)
    assert found is not None
    assert found.fingerprint == made.fingerprint
    assert drift_reference.evaluation_of(store, settings, "joint", "another") is None


@pytest.mark.parametrize("is_served", [True, False])
def test_before_anything_has_landed_it_says_what_to_do(
    is_served: bool, settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    if is_served:
        fill(store)
    words = "No month has been evaluated with joint yet" if is_served else "No joint model is in service"
    with pytest.raises(dg.Failure, match=words):
        materialized(settings, store, tracking)


def test_no_text_in_what_drift_writes(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    fill(store)
    land(store, "2025-01")
    result = materialized(settings, store, tracking)
    assert SECRET not in json.dumps(metadata(result), default=str)
    folders = [
        store.path("drift"),
        store.path("drift_month"),
        store.path("drift_reference"),
        Path(tracking.artifact_root),
    ]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    # No ids of people either, but for the reference's predictions.
    assert not [path for path in files if path.suffix == ".json" and b"subject" in path.read_bytes()]


def test_tokens_are_those_of_the_tokenizer(store: ArtifactStore) -> None:
    from lang1_assets.ops.tokenizer import fast_tokenizer

    fill(store)
    folder = store.get("tokenizer").path
    texts = ["aaab aaac", "", "zebra 12.5"]
    slow = fast_tokenizer(folder)
    assert drift_reference.token_counter(folder)(texts).tolist() == [
        len(slow.encode(text, add_special_tokens=False).ids) for text in texts
    ]
    assert drift_reference.token_counter(folder)([]).tolist() == []


def test_a_report_is_asked_for_once(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    assert drift_due.due(store, "joint") is None
    fill(store)
    assert drift_due.due(store, "joint") is None
    land(store, "2025-01")
    first = drift_due.due(store, "joint")
    assert first is not None
    assert drift_due.due(store, "joint") == first
    materialized(settings, store, tracking)
    assert drift_due.due(store, "joint") is None
    land(store, "2025-02", seed=300)
    second = drift_due.due(store, "joint")
    assert second not in (None, first)
    serve(store, "m2")
    assert drift_due.due(store, "joint") not in (None, first, second)


def test_without_labelled_notes_no_month_is_measured(settings: Settings, store: ArtifactStore) -> None:
    """They go with a forgotten person, until the next run: a month would be kept without the numbers of its text."""
    fill(store)
    land(store, "2025-01")
    asked = drift_due.due(store, "joint")
    examples = store.path("mortality_examples").rename(store.path("aside"))
    assert drift_due.due(store, "joint") is None
    with pytest.raises(ArtifactError, match="materialize the asset 'mortality_examples' first"):
        drift_reference.references(store, settings, "joint")
    examples.rename(store.path("mortality_examples"))
    assert asked is not None
    assert drift_due.due(store, "joint") == asked


def test_the_sensor_tries_a_report_again_and_not_for_ever(settings: Settings, store: ArtifactStore) -> None:
    fill(store)
    land(store, "2025-01")
    with dg.DagsterInstance.ephemeral() as instance:

        def look() -> list[dg.RunRequest]:
            context = dg.build_sensor_context(instance=instance, resources={"store": store})
            result = drift_due.drift_sensor(settings)(context)
            return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []

        keys = []
        for _ in range(drift_due.MAX_ATTEMPTS):
            [asked] = look()
            assert asked.partition_key == "joint"
            keys.append(asked.run_key)
            instance.add_run(
                dg.DagsterRun(job_name=drift_due.JOB, tags=dict(asked.tags), status=dg.DagsterRunStatus.STARTED)
            )
            assert look() == []
            run = instance.get_runs(limit=1)[0]
            instance.report_run_failed(run)
        assert look() == []
        assert len(set(keys)) == drift_due.MAX_ATTEMPTS


def test_steps_are_months() -> None:
    assert drift.months_between("2025-11", "2026-02") == 3
    assert drift.months_between("2025-01", "2025-01") == 0


def test_tables_hold_the_last_months() -> None:
    from tests.ops.drift.made import made_row

    held = [made_row("auroc", 0.8, month=f"{2020 + number // 12}-{number % 12 + 1:02}") for number in range(30)]
    table = str(drift_tables.performance_table(held).value)
    assert "2021-07" in table
    assert "2021-06 " not in table
    assert table.count("\n") == 2 + drift_tables.MONTHS_SHOWN - 1


def test_a_month_stays_in_the_report_when_its_notes_are_gone(
    settings: Settings, store: ArtifactStore, tracking: Tracking
) -> None:
    """Somebody of it was forgotten after the export itself had been removed: nobody can make its cohorts again."""
    fill(store)
    land(store, "2025-01")
    land(store, "2025-02", seed=300)
    materialized(settings, store, tracking)
    before = rows(store)
    shutil.rmtree(store.path("landed_cohorts/2025-01"))
    materialized(settings, store, tracking)
    assert rows(store).sort(before.columns[:5]).equals(before.sort(before.columns[:5]))


def test_a_month_that_is_replaced_while_it_is_read_is_measured_again_later(
    settings: Settings, store: ArtifactStore, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    land(store, "2025-01")
    found = drifted.scored_months(store, "joint")
    land(store, "2025-01", content="c2", seed=500)
    monkeypatch.setattr(drifted, "scored_months", lambda store, recipe: found)
    with pytest.raises(dg.Failure, match="landed_cohorts/2025-01 was replaced while drift was measured"):
        materialized(settings, store, tracking)
    assert store.find("drift/joint") is None
