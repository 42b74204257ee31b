"""What the terminal refuses, in one line each."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lang1_assets.cli.alerts import send_test_alert
from lang1_assets.settings import load_settings
from tests.ops.test_leaderboard import predictions
from tests.ops.test_side_by_side import leave
from tests.slack_webhook import forget_channels, running_webhook

PROFILE = Path(__file__).parents[1] / "profiles" / "mini.yaml"


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
    assert (landed / "manifest.json").exists()
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


def test_a_model_that_the_profile_does_not_name_is_not_scored(tmp_path: Path) -> None:
    done = cli(tmp_path / "home", "score", "untrained-100m", "gpt-9")
    assert done.returncode != 0
    assert "gpt-9: not in the profile's models; it has: untrained-100m" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_test_alert_says_which_channel_took_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(str(PROFILE))
    with running_webhook(monkeypatch) as slack:
        assert send_test_alert(settings, argparse.Namespace()) == 0
        assert capsys.readouterr().out == "Slack took it\n"
        slack.status = 404
        assert send_test_alert(settings, argparse.Namespace()) == 1
        assert "did not reach Slack (HTTP 404)" in capsys.readouterr().out
    forget_channels(monkeypatch)
    assert send_test_alert(settings, argparse.Namespace()) == 1
    assert "no channel is set up" in capsys.readouterr().out
    assert ["Profile mini (synthetic data: the embedded hospital)" in one["text"] for one in slack.received] == [
        True
    ] * 2
