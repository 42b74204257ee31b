"""What the terminal refuses, in one line each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from lang1_assets.cli.runs import PID_TAG, close_dead_runs
from tests.ops.test_leaderboard import predictions
from tests.ops.test_side_by_side import leave

PROFILE = Path(__file__).parent / "profiles" / "mini.yaml"


def cli(home: Path, *words: str, profile: Path = PROFILE) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"DAGSTER_HOME", "LANG1_DUCKDB_PATH"}}
    return subprocess.run(
        [sys.executable, "-m", "lang1_assets.cli", *words],
        env={**kept, "LANG1_HOME": str(home), "LANG1_PROFILE": str(profile)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("month", ["2024-12", "2025-13", "2025-2", "2025-02\n", "soon"])
def test_a_month_that_cannot_land_leaves_nothing(tmp_path: Path, month: str) -> None:
    done = cli(tmp_path, "new-month", month)
    assert done.returncode != 0
    assert "expected YYYY-MM from 2025-01 on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "landing").exists()


def test_no_synthetic_month_among_a_hospital_s_own(tmp_path: Path) -> None:
    profile = tmp_path / "ours.yaml"
    profile.write_text(f"extends: {PROFILE}\nname: ours\nsource: {{kind: tables, path: exports}}\n")
    done = cli(tmp_path / "home", "new-month", "2025-02", profile=profile)
    assert "a synthetic month does not belong there" in done.stderr


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    done = cli(home, "new-month", "2025-02")
    assert done.returncode != 0
    assert "set it to a folder that can be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_month_lands_whole_and_only_its_owner_may_look(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = cli(home, "new-month", "2025-02")
    assert done.returncode == 0, done.stderr
    (landed,) = home.rglob("2025-02")
    assert (landed / "_COMPLETE").exists()
    assert (landed / "encounters.csv").exists()
    assert home.stat().st_mode & 0o077 == 0


def test_two_evaluations_side_by_side_and_numbers_made_again(tmp_path: Path) -> None:
    for number, skill in enumerate((0.3, 1.0)):
        leave(tmp_path / str(number), predictions(skill, 200, seed=number))
    done = cli(tmp_path / "home", "compare", str(tmp_path / "0"), str(tmp_path / "1"), "--notes", "3")
    assert done.returncode == 0, done.stderr
    assert "mortality, temporal_2024: 0." in done.stdout
    assert "DeLong p 0.0" in done.stdout
    assert len(re.findall(r"^    n\d+, [01], 0\.\d{3}, 0\.\d{3}$", done.stdout, re.M)) == 3
    assert "all follow from the probabilities" in cli(tmp_path / "home", "verify", str(tmp_path / "0")).stdout
    missing = cli(tmp_path / "home", "verify", "joint_evaluation/nobody")
    assert missing.returncode != 0
    assert "joint_evaluation/nobody: expected predictions.parquet" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_runs_of_killed_processes_are_closed_whichever_job_they_are_of() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"killed": str(gone.pid), "alive": str(os.getpid()), "from the browser": None}
        runs = {}
        for name, pid in tags.items():
            run = dg.DagsterRun(
                job_name=f"{name} job".replace(" ", "_"),
                status=dg.DagsterRunStatus.STARTED,
                tags={} if pid is None else {PID_TAG: pid},
            )
            runs[name] = instance.add_run(run).run_id
        close_dead_runs(instance)
        status = {name: instance.get_run_by_id(run_id).status.value for name, run_id in runs.items()}
    assert status == {"killed": "FAILURE", "alive": "STARTED", "from the browser": "STARTED"}


def test_a_model_that_the_profile_does_not_name_is_not_scored(tmp_path: Path) -> None:
    done = cli(tmp_path / "home", "score", "untrained-100m", "gpt-9")
    assert done.returncode != 0
    assert "gpt-9: not in the profile's models; it has: untrained-100m" in done.stderr
    assert "Traceback" not in done.stderr
