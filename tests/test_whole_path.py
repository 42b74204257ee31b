"""The whole path through Dagster, as a person starts it: results, reuse, and the same results after being killed."""

import gzip
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import zstandard

from lang1_assets.ops.memorization.canaries import read_canaries
from lang1_assets.ops.schemas import NARRATIVE_FIELDS
from lang1_assets.ops.tasks import TASKS
from tests.planting import planted_words

PROFILE = Path(__file__).parent / "profiles" / "mini.yaml"
REPOSITORY = Path(__file__).parents[1]
VARIANT = "mini-notesplus-webtexts"


def environment(home: Path) -> dict[str, str]:
    # Temporary files of the run stay where the tests can look at them.
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    changed = {
        "LANG1_HOME": str(home),
        "LANG1_PROFILE": str(PROFILE),
        "HF_HUB_OFFLINE": "1",
        "TMPDIR": str(home / "tmp"),
    }
    kept = {key: value for key, value in os.environ.items() if key not in {"DAGSTER_HOME", "LANG1_DUCKDB_PATH"}}
    return {**kept, **changed}


def start(home: Path, command: str = "demo") -> subprocess.Popen[str]:
    """A command of a person, on exports into which words were planted."""
    if not (home / "artifacts" / "mini" / "hospital_exports").exists():
        subprocess.run(
            [sys.executable, "-m", "tests.planting"],
            env=environment(home),
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
        )
    return subprocess.Popen(
        [sys.executable, "-m", "lang1_assets.cli", command],
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
    # Zero-shot and joint on all tasks, the single-task model on its own; on the others on the headline test alone.
    assert len(found) == len(rows) == (5 + 5 + 1) * 3 + 4
    assert {split for trained_on, task, split in found if (trained_on, task) == ("mortality", "readmission")} == {
        "temporal_2024"
    }
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


PRIVATE = (
    "artifacts/mini/hospital_exports/",
    "artifacts/mini/warehouse/",
    "artifacts/mini/clean_notes/",
    "artifacts/mini/harness_tasks/",
    *(f"artifacts/mini/{task}_examples/" for task in TASKS),
    # Planted documents and what was planted, beside the token ids.
    "artifacts/mini/notes_tokens/",
    "artifacts/mini/notes_plus_tokens/",
    f"artifacts/mini/pretrained_model/{VARIANT}/generations.jsonl",
    "warehouse/",
)
"""Everything under LANG1_HOME that is meant to hold notes, or what a model writes. Anything else is searched for them."""


@pytest.fixture(scope="module")
def markers(undisturbed: tuple[Path, str]) -> dict[str, list[bytes]]:
    """Words planted into one note each, of every narrative field, before anything read them; and the planted canaries."""
    home, _ = undisturbed
    canaries = read_canaries(home / "artifacts/mini/notes_plus_tokens")
    words = planted_words(home / "artifacts/mini/hospital_exports")
    return {**words, "canary": [word.encode() for item in canaries for word in (item.secret, item.holder)]}


def contents(path: Path) -> bytes:
    """What a file says, unpacked: a search of compressed bytes finds nothing."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).write_ndjson().encode()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


PLANTED = re.compile(rb"zq[0-9a-f]{16}")


def told(paths: Iterable[Path], phrases: Iterable[bytes]) -> set[tuple[str, bytes]]:
    """(file, phrase) of everything that is found."""
    wanted = set(phrases)
    found = set()
    for path in paths:
        data = contents(path)
        here = {match for match in PLANTED.findall(data) if match in wanted}
        here |= {phrase for phrase in wanted if not PLANTED.fullmatch(phrase) and phrase in data}
        found |= {(str(path), phrase) for phrase in here}
    return found


def test_no_note_text_and_no_canary_leaves_the_folders_meant_for_it(
    undisturbed: tuple[Path, str], markers: dict[str, list[bytes]]
) -> None:
    """Logs, event and tracking databases, metadata, artifacts, reports, temporary files, the terminal."""
    home, output = undisturbed
    files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    public = [path for path in files if not str(path.relative_to(home)).startswith(PRIVATE)]
    for kind in ("dagster/", "mlflow/mlflow.db", "reports/", "job.log", ".parquet", "artifact.json", "summary.json"):
        assert any(kind in str(path.relative_to(home)) for path in [*public, *(home / "reports").rglob("*")]), kind
    phrases = [phrase for found in markers.values() for phrase in found]
    assert told(public, phrases) == set()
    assert not PLANTED.search(output.encode())
    assert not [phrase for phrase in markers["canary"] if phrase in output.encode()]


def test_the_search_finds_what_is_there(undisturbed: tuple[Path, str], markers: dict[str, list[bytes]]) -> None:
    """Where notes are meant to be, every phrase is found, raw and cleaned: the test above can fail."""
    root = undisturbed[0] / "artifacts/mini"
    words = {word for field in NARRATIVE_FIELDS for word in markers[field]}
    assert len(words) > 1000
    raw = {word for _, word in told(root.glob("hospital_exports/notes-*.csv"), words)}
    assert raw == words
    cleaned = {word for _, word in told(root.glob("clean_notes/notes/*.parquet"), words)}
    for field in NARRATIVE_FIELDS:
        assert len(cleaned & set(markers[field])) > 0.7 * len(markers[field])
    assert told([root / "notes_plus_tokens" / "canaries.parquet"], markers["canary"])


def test_what_holds_notes_is_its_owner_s_alone(undisturbed: tuple[Path, str]) -> None:
    root = undisturbed[0] / "artifacts/mini"
    for name in ("hospital_exports", "warehouse", "clean_notes", "notes_plus_tokens", f"pretrained_model/{VARIANT}"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o700
    generations = root / "pretrained_model" / VARIANT / "generations.jsonl"
    assert stat.S_IMODE(generations.stat().st_mode) == 0o600
    assert len(generations.read_text().splitlines()) == 2 * 3


def verified_audit(home: Path) -> str:
    """What `lang1 audit verify` says of a home."""
    words = [sys.executable, "-m", "lang1_assets.cli", "audit", "verify"]
    done = subprocess.run(words, env=environment(home), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_artifact_is_in_the_audit_and_in_dagster(undisturbed: tuple[Path, str]) -> None:
    home = undisturbed[0]
    said = verified_audit(home)
    assert "The chain is whole." in said
    assert "have no row" not in said
    rows = [json.loads(line) for line in (home / "audit" / "audit.jsonl").read_text().splitlines()]
    assert {row["artifact"] for row in rows} == set(manifests(home))
    assert all(row["run_id"] and row["launched_by"]["job"] for row in rows)
    held = re.search(r"held against (\d+) rows", said)
    assert held is not None
    assert int(held[1]) > 15


def test_the_trajectory_and_what_is_memorized_are_measured(undisturbed: tuple[Path, str]) -> None:
    root = undisturbed[0] / "artifacts/mini"
    rows = json.loads((root / "trajectory_evaluation" / VARIANT / "rows.json").read_text())
    assert {row["tokens"] for row in rows} == {0, 21 * 8 * 384, 40 * 8 * 384}
    assert {row["name"] for row in rows} == {"comprehension", *TASKS}
    measured = pl.read_parquet(root / "memorization" / VARIANT / "memorization.parquet")
    assert set(measured["kind"]) == {"exposure", "verbatim_trained", "verbatim_held_out"}
    assert set(measured.drop_nulls("repeats")["repeats"]) == {0, 1, 4, 16, 64}
    page = (undisturbed[0] / "reports" / "latest" / "index.html").read_text()
    assert "What emerges in pretraining (synthetic data)" in page


def test_runs_are_in_mlflow_with_datasets_and_aliases(undisturbed: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    home, _ = undisturbed
    client = MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    runs = {}
    for name in ("pretrain", "finetune", "evaluate"):
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        runs[name] = client.search_runs([experiment.experiment_id], "tags.`lang1.current` = 'true'")
        assert all(run.info.status == "FINISHED" for run in runs[name])
    assert (len(runs["pretrain"]), len(runs["finetune"]), len(runs["evaluate"])) == (1, 2, 8)
    pretrain = runs["pretrain"][0]
    steps = [metric.step for metric in client.get_metric_history(pretrain.info.run_id, "train/loss")]
    under = f"tags.`mlflow.parentRunId` = '{pretrain.info.run_id}'"
    (monitor,) = client.search_runs([pretrain.info.experiment_id], under)
    looked_at = [metric.step for metric in client.get_metric_history(monitor.info.run_id, "auroc/mortality/val")]
    assert looked_at == [20, 40]
    # The first, every fifth, and the one at which a checkpoint of the trajectory was due.
    assert steps == [1, 5, 10, 15, 20, 21, 25, 30, 35, 40]
    assert {dataset.dataset.name for dataset in pretrain.inputs.dataset_inputs} == {
        "notes_plus_tokens",
        "tokenizer",
        "web_text_tokens",
        # What it is looked at with while it trains.
        "web_text_source",
        *(f"{task}_examples" for task in TASKS),
    }
    serving = client.get_model_version_by_alias("mini-joint", "in_service")
    assert serving.source.endswith("model_in_service/joint/model")
    assert serving.tags["fingerprint"] == client.get_model_version("mini-joint", "1").tags["fingerprint"]


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


def learned(home: Path) -> dict[str, str]:
    """Of notes to what emerges in pretraining: the hash of each file that two runs have in common, weights among them."""
    root = home / "artifacts" / "mini"
    names = [*root.glob("*_tokens/*.bin"), *(root / "pretrained_model").rglob("*.safetensors")]
    return {str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() for path in names}


def emerged(home: Path) -> list[dict[str, Any]]:
    rows = json.loads((home / "artifacts/mini/trajectory_evaluation" / VARIANT / "rows.json").read_text())
    return [dict(row) for row in rows]


def test_killed_in_the_middle_the_corpus_half_is_the_same(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """Kill -9 of a Dask worker, of a training rank in the middle of pretraining, then of Dagster itself; then run again.

    The whole path is killed at random, hundreds of times, by `make faults`.
    """
    home = tmp_path / "disturbed"
    work = home / "artifacts" / "mini" / "pretrained_model" / f"{VARIANT}.partial"
    process = start(home, "corpus")
    workers = wait_for(
        lambda: [*pids_of(home, "spawn_main")] if (home / "artifacts/mini/clean_notes.partial").exists() else []
    )
    kill(workers[-1:])
    cleaned = home / "artifacts" / "mini" / "clean_notes"
    wait_for(lambda: cleaned.exists() or process.poll() is not None)
    if process.poll() is not None:
        # The worker was killed before it had joined its cluster: that ends the run, and it is started again.
        process = start(home, "corpus")
    wait_for(lambda: list(work.glob("resume/step-*5")))
    ranks = wait_for(lambda: pids_of(home, "lang1_assets.ops.pretraining --local_rank=1"))
    kill(ranks)
    # The asset retries by itself and resumes; then Dagster's own process goes.
    wait_for(lambda: (work / "job.log").read_text().count("WORLD INFO") >= 2)
    wait_for(lambda: pids_of(home, "lang1_assets.ops.pretraining --local_rank=1") or not work.exists())
    kill([process.pid])
    process.wait()
    finish(start(home, "corpus"))
    assert learned(home) == learned(undisturbed[0])
    assert emerged(home) == emerged(undisturbed[0])
    assert "have no row" not in verified_audit(home)
    rows = [json.loads(line) for line in (home / "audit" / "audit.jsonl").read_text().splitlines()]
    made = [row["artifact"] for row in rows if row["event"] == "materialized"]
    assert len(made) == len(set(made))
