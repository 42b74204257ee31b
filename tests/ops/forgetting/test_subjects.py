"""While people are forgotten nothing is made, and while something is made nobody is forgotten; with real processes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lang1_assets.operation import forget
from lang1_assets.ops.forgetting.subjects import ForgettingError, nothing_is_made, write_unfinished
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import load_settings
from tests.cli.test_cli import PROFILE
from tests.ops.forgetting.conftest import Home

PERSON = "P1000001"
MAKER = """
import sys, time
from pathlib import Path
import polars as pl
from lang1_assets.resources.store import ArtifactStore
home = Path(sys.argv[1])
store = ArtifactStore(root=str(home / "artifacts" / "ours"))
notes = store.get("clean_notes")
def make(work):
    read = pl.read_parquet(notes.path / "notes" / "*.parquet")
    (home / "has_read").touch()
    while not (home / "go_on").exists():
        time.sleep(0.02)
    read.write_parquet(work / "examples.parquet")
    return {}
store.build("readmission_examples", make, inputs=[notes])
"""


def until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.02)


def forget_person(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG1_HOME", str(home.folder))
    monkeypatch.setattr(forget, "mark_models", lambda tracking, models, counts: {})
    nowhere = Tracking(tracking_uri=f"sqlite:///{tmp_path}/none.db", ui_url="", artifact_root="", dagster_url="")
    forget.forget(load_settings(str(PROFILE)), nowhere, [PERSON], absent_too=False, say=lambda line: None)


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_was_read_before_a_request_is_not_written_after_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    maker = subprocess.Popen([sys.executable, "-c", MAKER, str(home.folder)])
    until((home.folder / "has_read").exists)
    with pytest.raises(ForgettingError, match="a run is making something"):
        forget_person(home, tmp_path, monkeypatch)
    assert home.told([PERSON])[PERSON]
    if is_killed:
        maker.kill()
    (home.folder / "go_on").touch()
    assert maker.wait() == (-signal.SIGKILL if is_killed else 0)
    forget_person(home, tmp_path, monkeypatch)
    assert home.told([PERSON, f"word{PERSON}"]) == {PERSON: set(), f"word{PERSON}": set()}


def test_a_run_that_begins_during_the_search_makes_nothing(home: Home) -> None:
    (home.folder / "go_on").touch()
    with nothing_is_made(home.folder):
        done = subprocess.run(
            [sys.executable, "-c", MAKER, str(home.folder)], capture_output=True, text=True, check=False
        )
    assert "people are being forgotten here" in done.stderr
    assert not (home.folder / "has_read").exists()
    assert not home.store.path("readmission_examples.partial").exists()
    assert subprocess.run([sys.executable, "-c", MAKER, str(home.folder)], check=False).returncode == 0


def test_nothing_is_made_while_a_request_is_unfinished(home: Home) -> None:
    write_unfinished(home.folder, {})
    with pytest.raises(ForgettingError, match="complete it with: lang1 forget"):
        home.store.build("anything", lambda work: {})
    # What is up to date is read by nobody's leave: no record of anybody comes back by it.
    assert home.store.build("web_text", lambda work: {}).reused


def test_many_make_at_a_time_and_outside_a_home_nobody_is_forgotten(home: Home, tmp_path: Path) -> None:
    def nested(work: Path) -> dict[str, str]:
        return {"inner": home.store.build("inner", lambda work: {}).fingerprint}

    assert home.store.build("outer", nested).summary["inner"]
    assert ArtifactStore(root=str(tmp_path / "elsewhere")).build("one", lambda work: {}).path.exists()
    assert not (tmp_path / "forgotten").exists()
