"""Forgetting people as operations do it: the job, the command line, MLflow; and nobody comes back with the next extraction."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.store.db import utils as mlflow_databases

from lang1_assets.corpus import extract
from lang1_assets.operation import forget
from lang1_assets.ops.audit.entries import AuditError
from lang1_assets.ops.audit.keys import KEY_VARIABLE
from lang1_assets.ops.forgetting.leaving_out import remove_rows
from lang1_assets.ops.forgetting.subjects import (
    ForgettingError,
    forgotten_subjects,
    unfinished_request,
    write_unfinished,
)
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from tests.cli.test_cli import PROFILE, cli
from tests.mlflow_database import database  # noqa: F401
from tests.ops.forgetting.conftest import VARIANT, Home

PERSON = "P1000001"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def tracking(tmp_path: Path, database: Path) -> Tracking:  # noqa: F811
    copied = tmp_path / "mlflow.db"
    copied.write_bytes(database.read_bytes())
    return Tracking(tracking_uri=f"sqlite:///{copied}", ui_url="", artifact_root=str(tmp_path), dagster_url="")


@pytest.fixture
def settings() -> Settings:
    return load_settings(str(PROFILE))


def run_job(settings: Settings, tracking: Tracking, **config: Any) -> dg.ExecuteInProcessResult:
    (job,) = forget.build_jobs(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            instance=instance,
            resources={"tracking": tracking},
            run_config={"ops": {"forget": {"config": config}}},
            raise_on_error=False,
        )


def test_versions_and_runs_are_marked_without_a_name(home: Home, tracking: Tracking, settings: Settings) -> None:
    client = MlflowClient(tracking.tracking_uri)
    run_id = client.create_run("0").info.run_id
    tuned, base = (home.made[name].fingerprint for name in (f"finetuned_joint/{VARIANT}", "pretrained_model/web"))
    told: list[str] = []
    marked = tracking.register("ours-joint", home.folder, run_id, {"fingerprint": tuned})
    other = tracking.register("ours-joint", home.folder, run_id, {"fingerprint": base})
    record = forget.forget(settings, tracking, [PERSON], absent_too=False, say=told.append)
    tags = client.get_model_version("ours-joint", marked).tags
    assert tags[forget.PEOPLE_TAG] == "1"
    assert forget.PEOPLE_TAG not in client.get_model_version("ours-joint", other).tags
    assert record["versions"] == {tuned: [f"ours-joint version {marked}"]}
    assert any(tuned in line and f"ours-joint version {marked}" in line for line in told)
    assert not any(PERSON in line for line in told)
    assert PERSON not in str(tags)
    rows = [json.loads(line) for line in (home.folder / "audit" / "audit.jsonl").read_text().splitlines()]
    assert {row["artifact"] for row in rows if row["event"] == "forgotten"} >= {None, "clean_notes"}
    assert PERSON not in str(rows)
    # A second person: two have been forgotten since the model saw them.
    forget.forget(settings, tracking, ["P1000002"], absent_too=True, say=told.append)
    assert client.get_model_version("ours-joint", marked).tags[forget.PEOPLE_TAG] == "2"


def test_without_a_key_that_can_be_read_nothing_begins(
    home: Home, tracking: Tracking, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, str(home.folder / "no key"))
    with pytest.raises(AuditError):
        forget.forget(settings, tracking, [PERSON], absent_too=False, say=lambda line: None)
    assert unfinished_request(home.folder) is None
    assert home.told([PERSON])[PERSON]


def test_the_candidate_is_what_was_finetuned_last(home: Home, tracking: Tracking) -> None:
    client = MlflowClient(tracking.tracking_uri)
    run_id = client.create_run("0").info.run_id

    def register(fingerprint: str, finetuned: str) -> tuple[str, str]:
        tags = {"fingerprint": fingerprint, "finetuned": finetuned}
        version = tracking.register("ours", home.folder, run_id, tags)
        return version, str(client.get_model_version_by_alias("ours", "candidate").version)

    first, candidate = register("a", "2026-01-01")
    assert candidate == first
    second, candidate = register("b", "2026-01-02")
    assert candidate == second
    # Materialized once more and reused: nothing was finetuned.
    assert register("a", "2026-01-01") == (first, second)
    # Finetuned once more by settings of before.
    assert register("a", "2026-01-03") == (first, first)
    assert register("b", "2026-01-02") == (second, first)


def test_a_registry_that_does_not_answer_leaves_the_request_to_be_completed(
    home: Home, tracking: Tracking, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would be tried again for a minute and a half.
    monkeypatch.setattr(mlflow_databases, "MAX_RETRY_COUNT", 1)
    # A folder where the database should be.
    absent = Tracking(tracking_uri=f"sqlite:///{home.folder}", ui_url="", artifact_root="", dagster_url="")
    with pytest.raises(Exception, match="unable to open database"):
        forget.forget(settings, absent, [PERSON], absent_too=False, say=lambda line: None)
    assert home.told(["wordP1000001"]) == {"wordP1000001": set()}
    unfinished = unfinished_request(home.folder)
    assert unfinished is not None
    record = forget.forget(settings, tracking, [], absent_too=False, say=lambda line: None)
    assert {model["name"] for model in record["models"]} >= {f"finetuned_joint/{VARIANT}"}
    assert unfinished_request(home.folder) is None


def test_the_job_only_says_what_it_would_do_unless_told(home: Home, tracking: Tracking, settings: Settings) -> None:
    assert run_job(settings, tracking, subject_ids=[PERSON]).success
    assert home.told(["wordP1000001"])["wordP1000001"]
    ids = home.folder / "ids"
    ids.write_text(f"{PERSON}\n\n")
    assert run_job(settings, tracking, ids_file=str(ids), dry_run=False).success
    ids.unlink()
    assert home.told(["wordP1000001", PERSON]) == {"wordP1000001": set(), PERSON: set()}


def test_the_job_fails_in_words_where_it_cannot(home: Home, tracking: Tracking, settings: Settings) -> None:
    result = run_job(settings, tracking, subject_ids=["P1000099"], dry_run=False)
    assert not result.success
    data = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "nothing here has a row of theirs" in str(
        data.user_failure_data.description if data.user_failure_data else ""
    )


def test_not_while_a_run_may_bring_rows_back() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(dg.JobDefinition(name="demo", graph_def=dg.GraphDefinition(name="demo")))
        forget.require_no_run(instance)
        instance.report_run_canceling(run)
        with pytest.raises(ForgettingError, match=f"in progress: demo {run.run_id[:8]}"):
            forget.require_no_run(instance)
        forget.require_no_run(instance, besides=run.run_id)


def test_from_the_terminal(home: Home) -> None:
    done = cli(home.folder, "forget", "P1000099")
    assert done.returncode == 1
    assert "nothing here has a row of theirs" in done.stderr
    assert "Traceback" not in done.stderr
    shown = cli(home.folder, "forget", PERSON, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "to be removed, and made again by the next run: ours/clean_notes, 1 rows" in shown.stdout
    assert "nothing was changed" in shown.stdout
    assert home.told(["wordP1000001"])["wordP1000001"]


def materialize_exports(store: ArtifactStore) -> dg.ExecuteInProcessResult:
    smaller = load_settings(str(PROFILE)).model_copy(deep=True)
    small = smaller.model_copy(update={"source": smaller.source.model_copy(update={"num_encounters": 300})})
    return dg.materialize([extract.hospital_exports(small)], resources={"store": store}, raise_on_error=False)


def test_the_embedded_hospital_does_not_bring_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracking: Tracking, settings: Settings
) -> None:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path / "home"))
    store = ArtifactStore(root=str(tmp_path / "home" / "artifacts" / "mini"))
    assert materialize_exports(store).success
    first = store.get("hospital_exports")
    before = {file.name: read(file) for file in first.path.glob("*.csv")}
    notes = pl.concat([frame for name, frame in before.items() if name.startswith("notes-")])
    person = notes["subject_id"].mode().sort()[0]
    texts = notes.filter(pl.col("subject_id") == person)["narrative"].drop_nulls().to_list()
    assert texts
    forget.forget(settings, tracking, [person], absent_too=False, say=lambda line: None)
    assert store.find("hospital_exports") is None
    assert materialize_exports(store).success
    second = store.get("hospital_exports")
    assert second.fingerprint != first.fingerprint
    gone = second.summary["forgotten_rows"]
    assert gone["patients.csv"] >= 1
    assert gone["oracle.parquet"] >= 1
    for name, frame in before.items():
        after = read(second.path / name)
        assert len(after) == len(frame) - gone.get(name, 0)
        assert person not in after.get_column("subject_id") if "subject_id" in after.columns else True
    said = "\n".join(file.read_text() for file in second.path.glob("*.csv"))
    assert not [text for text in texts if text in said]


def read(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, infer_schema=False)


def test_nobody_is_extracted_while_somebody_is_half_forgotten(home: Home) -> None:
    write_unfinished(home.folder, {})
    result = materialize_exports(home.store)
    failed = next(event for event in result.all_events if event.is_step_failure)
    assert "complete it with: lang1 forget" in str(failed.step_failure_data.error)


def test_files_without_any_of_theirs_are_not_touched(tmp_path: Path) -> None:
    frame = pl.DataFrame({"encounter_id": ["E1"], "subject_id": ["P1"]})
    frame.write_csv(tmp_path / "encounters.csv")
    before = (tmp_path / "encounters.csv").stat().st_mtime_ns
    assert remove_rows(tmp_path, ["P2"]) == {}
    assert (tmp_path / "encounters.csv").stat().st_mtime_ns == before
    assert remove_rows(tmp_path, ["P1"]) == {"encounters.csv": 1}
    assert forgotten_subjects(tmp_path) == ()
