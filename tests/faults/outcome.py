"""What a run of the whole path left behind, to be compared with what an undisturbed one leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from lang1_assets.resources.store import MANIFEST

POSITION = ".read"
"""How far a file was read, in bytes of times: equal in two runs only by chance."""
MATERIALIZED = "materialized"
TRAIN_LOSS = "train/loss"


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What is alike in two undisturbed runs; files that hold times or run ids are not, and are not compared."""

    fingerprints: Mapping[str, str]
    files: Mapping[str, str]

    @staticmethod
    def of(first: Path, second: Path) -> Undisturbed:
        one, other = file_hashes(first), file_hashes(second)
        return Undisturbed(
            fingerprints=fingerprints(first),
            files={name: digest for name, digest in one.items() if other.get(name) == digest},
        )

    def differences(self, artifacts: Path) -> list[str]:
        """Artifacts and files that are missing, others, or too many."""
        found, hashes = fingerprints(artifacts), file_hashes(artifacts)
        said = [f"artifact {name}" for name, value in self.fingerprints.items() if found.get(name) != value]
        said += [f"artifact {name}, which is in no undisturbed run" for name in found if name not in self.fingerprints]
        return said + [f"file {name}" for name, digest in self.files.items() if hashes.get(name) != digest]


def fingerprints(artifacts: Path) -> dict[str, str]:
    """Artifact -> fingerprint of everything finished."""
    return {
        str(path.parent.relative_to(artifacts)): json.loads(path.read_text())["fingerprint"]
        for path in sorted(artifacts.rglob(MANIFEST))
        if ".partial" not in str(path)
    }


def file_hashes(artifacts: Path) -> dict[str, str]:
    found = [path for path in sorted(artifacts.rglob("*")) if path.is_file() and not path.is_symlink()]
    files = [path for path in found if path.suffix != POSITION]
    return {str(path.relative_to(artifacts)): sha256(path.read_bytes()).hexdigest() for path in files}


def half_written(artifacts: Path) -> list[str]:
    """Folders of work that nobody goes on with."""
    return [f"left behind: {path.name}" for path in sorted(artifacts.rglob("*.partial")) if path.is_dir()]


def made_twice(audit: Path, from_row: int) -> list[str]:
    """Artifacts that the audit says were made more than once since a row, with the same fingerprint."""
    rows = [json.loads(line) for line in audit.read_text().splitlines()[from_row:]]
    made = Counter((row["artifact"], row["fingerprint"]) for row in rows if row["event"] == MATERIALIZED)
    return [f"made {count} times: {name}" for (name, _), count in made.items() if count > 1]


def audit_rows(audit: Path) -> int:
    return len(audit.read_text().splitlines()) if audit.exists() else 0


def tracked_wrongly(client: MlflowClient, earlier: Collection[str]) -> list[str]:
    """MLflow runs, without some earlier ones, that say they still run, that finished twice, or that hold a step twice."""
    runs = [run for run in all_runs(client) if run.info.run_id not in earlier]
    open_ones = [f"MLflow run still open: {name_of(run)}" for run in runs if run.info.status == "RUNNING"]
    finished = [run for run in runs if run.info.status == "FINISHED" and "dagster.asset_key" in run.data.tags]
    counted = Counter(name_of(run) for run in finished)
    twice = [f"MLflow runs finished {count} times: {name}" for name, count in counted.items() if count > 1]
    steps = [f"steps logged twice: {name_of(run)}" for run in finished if has_step_twice(client, run)]
    return [*open_ones, *twice, *steps]


def all_runs(client: MlflowClient) -> Iterable[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while True:
        page = client.search_runs(experiments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def name_of(run: Any) -> str:
    tags = run.data.tags
    parts = [tags.get("dagster.asset_key", run.info.run_name), tags.get("dagster.partition", "")]
    # Of an evaluation of several models in one asset, each has its own.
    return " ".join([*parts, run.info.run_name])


def has_step_twice(client: MlflowClient, run: Any) -> bool:
    if TRAIN_LOSS not in run.data.metrics:
        return False
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, TRAIN_LOSS)]
    return len(steps) > len(set(steps))
