"""The judge of the fault table sees what it is there to see."""

import json
from pathlib import Path

from mlflow import MlflowClient

from tests.faults import outcome
from tests.faults.outcome import Undisturbed
from tests.mlflow_database import database  # noqa: F401


def finished(root: Path, name: str, fingerprint: str, **files: str) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "artifact.json").write_text(json.dumps({"fingerprint": fingerprint}))
    for file, text in files.items():
        (folder / file).write_text(text)


def test_what_differs_between_undisturbed_runs_is_not_compared(tmp_path: Path) -> None:
    for run, clock in (("one", "12:00"), ("two", "12:01"), ("three", "12:02")):
        finished(tmp_path / run, "model/a", "f", weights="same", log=clock)
    reference = Undisturbed.of(tmp_path / "one", tmp_path / "two")
    assert "model/a/weights" in reference.files
    assert "model/a/log" not in reference.files
    assert reference.differences(tmp_path / "three") == []


def test_a_missing_another_and_a_surplus_artifact_are_differences(tmp_path: Path) -> None:
    for run in ("one", "two"):
        finished(tmp_path / run, "model/a", "f", weights="same")
        finished(tmp_path / run, "model/b", "g", weights="same")
    finished(tmp_path / "disturbed", "model/a", "f", weights="other")
    finished(tmp_path / "disturbed", "model/c", "h")
    (tmp_path / "disturbed" / "model" / "b.partial").mkdir()
    found = Undisturbed.of(tmp_path / "one", tmp_path / "two").differences(tmp_path / "disturbed")
    assert "artifact model/b" in found
    assert "artifact model/c, which is in no undisturbed run" in found
    assert "file model/a/weights" in found
    assert outcome.half_written(tmp_path / "disturbed") == ["left behind: b.partial"]


def test_the_audit_tells_what_was_made_twice(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    rows = [("materialized", "a", "f"), ("materialized", "a", "f"), ("reused", "a", "f"), ("materialized", "b", "g")]
    audit.write_text("".join(json.dumps({"event": e, "artifact": a, "fingerprint": f}) + "\n" for e, a, f in rows))
    assert outcome.made_twice(audit, 0) == ["made 2 times: a"]
    # Of an earlier run.
    assert outcome.made_twice(audit, 1) == []
    assert outcome.audit_rows(audit) == 4
    assert outcome.audit_rows(tmp_path / "none") == 0


def test_mlflow_runs_that_are_open_or_finished_twice_or_repeat_a_step(tmp_path: Path, database: Path) -> None:  # noqa: F811
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.create_experiment("pretrain")
    tags = {"dagster.asset_key": "pretrained_model", "dagster.partition": "a"}
    runs = [client.create_run(experiment, run_name="a", tags=tags).info.run_id for _ in range(3)]
    for step in (1, 2, 2):
        client.log_metric(runs[0], "train/loss", 1.0, step=step)
    for step in (1, 2):
        client.log_metric(runs[1], "train/loss", 1.0, step=step)
    for run in runs[:2]:
        client.set_terminated(run)
    assert outcome.tracked_wrongly(client, ()) == [
        "MLflow run still open: pretrained_model a a",
        "MLflow runs finished 2 times: pretrained_model a a",
        "steps logged twice: pretrained_model a a",
    ]
    client.set_terminated(runs[2], "FAILED")
    client.delete_run(runs[0])
    assert outcome.tracked_wrongly(client, ()) == []
