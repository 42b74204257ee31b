"""The whole path through Dagster, as a person starts it: results, reuse, and the same results after being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

PROFILE = Path(__file__).parent / "profiles" / "mini.yaml"
VARIANT = "mini-notesplus-webtexts"


def environment(home: Path) -> dict[str, str]:
    changed = {"LANG1_HOME": str(home), "LANG1_PROFILE": str(PROFILE), "HF_HUB_OFFLINE": "1"}
    kept = {key: value for key, value in os.environ.items() if key not in {"DAGSTER_HOME", "LANG1_DUCKDB_PATH"}}
    return {**kept, **changed}


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lang1_assets.cli", "demo"],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output[-6000:]
    return output


def results(home: Path) -> list[dict[str, Any]]:
    """The rows without what differs from run to run: the links."""
    rows = json.loads((home / "reports" / "latest" / "results.json").read_text())["rows"]
    return [{key: value for key, value in row.items() if not key.endswith("_url")} for row in rows]


def manifests(home: Path) -> dict[str, str]:
    root = home / "artifacts" / "mini"
    return {str(path.parent.relative_to(root)): path.read_text() for path in root.rglob("artifact.json")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("undisturbed")
    return home, finish(start(home))


def test_the_demo_ends_with_a_table_and_a_report(undisturbed: tuple[Path, str]) -> None:
    home, output = undisturbed
    assert "30-day readmission" in output
    assert "Synthetic data" in output
    page = (home / "reports" / "latest" / "index.html").read_text()
    assert "ynthetic" in page
    assert "http://127.0.0.1:5000/#/experiments/" in page


def test_every_task_split_and_mode_has_a_row_with_an_interval(undisturbed: tuple[Path, str]) -> None:
    rows = [row for row in results(undisturbed[0]) if row["metric"] == "auroc"]
    found = {(row["trained_on"], row["task"], row["split"]) for row in rows}
    # Zero-shot and joint on all tasks, the single-task model on its own.
    assert len(found) == len(rows) == (5 + 5 + 1) * 3
    for row in rows:
        assert row["mode"] == ("zero_shot" if row["trained_on"] is None else "finetuned")
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
        assert row["oracle"] > 0.7
        assert row["n"] > 0


def test_no_task_leaks_its_answer(undisturbed: tuple[Path, str]) -> None:
    files = sorted((undisturbed[0] / "artifacts" / "mini" / "leak_checks").glob("*/checks.json"))
    found = {(file.parent.name, check["name"]): check for file in files for check in json.loads(file.read_text())}
    assert len(found) == 5 * 12 + 1
    assert {key: check["message"] for key, check in found.items() if not check["passed"]} == {}


def test_no_note_text_leaves_the_artifacts(undisturbed: tuple[Path, str]) -> None:
    """A sentence of a real note is searched for in everything that people and other services can see."""
    import polars as pl

    home, output = undisturbed
    notes = pl.read_parquet(home / "artifacts" / "mini" / "clean_notes" / "notes" / "*.parquet")["text"]
    canaries = [text[20:70].encode() for text in notes.gather_every(len(notes) // 20)]
    exposed = [output.encode()]
    for folder in ("dagster", "mlflow", "reports"):
        exposed += [path.read_bytes() for path in (home / folder).rglob("*") if path.is_file()]
    exposed += [path.read_bytes() for path in (home / "artifacts").rglob("*.log")]
    exposed += [path.read_bytes() for path in (home / "artifacts").rglob("*.json*") if path.name != "tokenizer.json"]
    assert not [canary for canary in canaries if any(canary in data for data in exposed)]


def test_runs_are_in_mlflow_with_datasets_and_aliases(undisturbed: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    home, _ = undisturbed
    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    runs = {}
    for name in ("pretrain", "finetune", "evaluate"):
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        runs[name] = client.search_runs([experiment.experiment_id], "tags.`dagster.asset_key` != ''")
        assert all(run.info.status == "FINISHED" for run in runs[name])
    assert (len(runs["pretrain"]), len(runs["finetune"]), len(runs["evaluate"])) == (1, 2, 3)
    pretrain = runs["pretrain"][0]
    steps = [metric.step for metric in client.get_metric_history(pretrain.info.run_id, "train/loss")]
    # Every fifth, and the one at which a checkpoint of the trajectory was due.
    assert steps == [5, 10, 15, 20, 21, 25, 30, 35, 40]
    assert {dataset.dataset.name for dataset in pretrain.inputs.dataset_inputs} == {
        "notes_plus_tokens",
        "tokenizer",
        "web_text_tokens",
    }
    assert int(client.get_model_version_by_alias(f"{VARIANT}-joint", "in_service").version) == 1


def test_a_second_run_reuses_everything(undisturbed: tuple[Path, str]) -> None:
    home, _ = undisturbed
    before = manifests(home)
    finish(start(home))
    assert manifests(home) == before


def pids_of(home: Path, words: str) -> list[int]:
    """Processes of this run whose command line holds `words`."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or [])
        if words in command and (process.info["environ"] or {}).get("LANG1_HOME") == str(home):
            found.append(process.info["pid"])
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_killed_in_the_middle_the_results_are_the_same(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """Kill -9 of a Dask worker, of a training rank in the middle of pretraining, then of Dagster itself; then run again."""
    home = tmp_path / "disturbed"
    work = home / "artifacts" / "mini" / "pretrained_model" / f"{VARIANT}.partial"
    process = start(home)
    workers = wait_for(
        lambda: [*pids_of(home, "spawn_main")] if (home / "artifacts/mini/clean_notes.partial").exists() else []
    )
    kill(workers[-1:])
    cleaned = home / "artifacts" / "mini" / "clean_notes"
    wait_for(lambda: cleaned.exists() or process.poll() is not None)
    if process.poll() is not None:
        # The worker was killed before it had joined its cluster: that ends the run, and it is started again.
        process = start(home)
    wait_for(lambda: list(work.glob("resume/step-*5")))
    ranks = wait_for(lambda: pids_of(home, "lang1_assets.ops.pretraining --local_rank=1"))
    kill(ranks)
    # The asset retries by itself and resumes; then Dagster's own process goes.
    wait_for(lambda: (work / "job.log").read_text().count("WORLD INFO") >= 2)
    wait_for(lambda: pids_of(home, "lang1_assets.ops.pretraining --local_rank=1") or not work.exists())
    kill([process.pid])
    process.wait()
    finish(start(home))
    assert results(home) == results(undisturbed[0])
