"""Every model in service on a landed month: what each is asked, and what is left behind."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.months import operate
from lang1_assets.ops import schemas
from lang1_assets.ops.landing.plan import EVALUATION
from lang1_assets.ops.tasks import REMEDE
from tests.landed_hospital import LandedHospital
from tests.mlflow_database import database  # noqa: F401


@pytest.fixture
def hospital(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> LandedHospital:  # noqa: F811
    hospital = LandedHospital(tmp_path, database, recipes=("joint", "mortality"))
    hospital.replace_slow_parts(monkeypatch)
    return hospital


def test_an_evaluation_has_what_every_one_has_and_names_model_and_export(
    tmp_path: Path,
    database: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hospital = LandedHospital(tmp_path, database)
    hospital.replace_slow_parts(monkeypatch, tracks=True)
    hospital.put_in_service("model")
    hospital.land("2025-02")
    hospital.settle()
    found = hospital.evaluation("2025-02")
    ripe = [task for task in REMEDE if task != "readmission"]
    predictions = pl.read_parquet(found.path / schemas.PREDICTIONS_FILE)
    assert predictions.columns == schemas.PREDICTIONS.names
    assert sorted(predictions["task"].unique()) == sorted(ripe)
    rows = json.loads((found.path / schemas.ROWS_FILE).read_text())
    assert {row["task"] for row in rows} == set(ripe)
    assert {row["split"] for row in rows} == {"landed"}
    record = json.loads((found.path / schemas.RECORD_FILE).read_text())
    assert (record["model_sha256"], record["mode"], set(record["tasks"])) == ("m", "joint", set(ripe))
    assert record["export"]["content"] == hospital.export("2025-02")["content"]
    summary = found.summary
    logged = hospital.tracking._client().get_run(summary["mlflow_run_id"]).data
    assert logged.metrics["auroc/mortality/2025-02"] == pytest.approx(1.0)
    assert logged.params["month"] == "2025-02"
    assert (summary["model"], summary["recipe"], summary["revision"]) == ("model", "joint", 1)
    assert (summary["export"], summary["variant"]) == (hospital.export("2025-02")["content"], record["name"])
    assert summary["tasks"]["readmission"]["ripe"] is False


def test_each_recipe_in_service_is_asked_its_own_tasks(hospital: LandedHospital) -> None:
    hospital.put_in_service("model")
    hospital.put_in_service("another", recipe="mortality")
    hospital.land("2025-02")
    hospital.settle()
    own = hospital.evaluation("2025-02", "mortality")
    assert own.summary["model"] == "another"
    assert pl.read_parquet(own.path / schemas.PREDICTIONS_FILE)["task"].unique().to_list() == ["mortality"]
    assert set(own.summary["tasks"]) == {"mortality"}
    assert len(hospital.evaluation("2025-02").summary["tasks"]) == len(REMEDE)


def test_what_cannot_be_measured_is_not_scored_and_said(hospital: LandedHospital) -> None:
    hospital.put_in_service("another", recipe="mortality")
    hospital.land("2025-02")
    hospital.settle()
    cohorts = hospital.store.get("landed_cohorts/2025-02")
    told = {"mortality": cohorts.summary["tasks"]["mortality"] | {"reason": "one class only: nothing to compare with"}}
    manifest = json.loads((cohorts.path / "artifact.json").read_text())
    manifest["summary"]["tasks"] |= told
    manifest["fingerprint"] = "with one class"
    (cohorts.path / "artifact.json").write_text(json.dumps(manifest))
    hospital.settle()
    found = hospital.evaluation("2025-02", "mortality")
    assert found.summary["cohorts"] == "with one class"
    assert "one class only" in found.summary["tasks"]["mortality"]["reason"]
    assert pl.read_parquet(found.path / schemas.PREDICTIONS_FILE).is_empty()
    assert json.loads((found.path / schemas.ROWS_FILE).read_text()) == []
    assert hospital.tick().runs == []


def test_without_a_model_it_says_which_asset_makes_one(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    hospital.settle()
    request = dg.RunRequest(run_key="by hand", partition_key="2025-02", asset_selection=[dg.AssetKey(EVALUATION)])
    result = hospital.run(request, raise_on_error=False)
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert "materialize 'model_in_service' for joint or mortality first" in str(failure.user_failure_data.description)


def test_a_model_that_is_replaced_while_it_scores_is_not_taken_for_the_other(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = operate.score

    def replaced_meanwhile(*given: Any) -> Any:
        hospital.put_in_service("better")
        return score(*given)

    hospital.put_in_service("model")
    hospital.land("2025-02")
    (request,) = hospital.tick().runs
    monkeypatch.setattr(operate, "score", replaced_meanwhile)
    result = hospital.run(request, raise_on_error=False)
    assert not result.success
    assert not list(hospital.store.path("predictions").rglob("artifact.json"))
    hospital.settle()
    assert hospital.evaluation("2025-02").summary["model"] == "better"


def test_an_evaluation_needs_no_export_once_it_is_made(hospital: LandedHospital) -> None:
    """Retention deletes the files of an export."""
    hospital.put_in_service("model")
    for month in ("2025-07", "2025-08"):
        hospital.land(month)
    hospital.settle()
    for month in ("2025-07", "2025-08"):
        folder = hospital.store.path(f"landed_export/{month}")
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()
    assert hospital.settle() == []
    hospital.put_in_service("better")
    hospital.settle()
    assert hospital.evaluation("2025-07").summary["model"] == "better"
    assert hospital.store.find("landed_export/2025-07") is None, "what was deleted is not fetched again"
