"""What is too old goes, and nothing else; every file that went is written down. The clock is given."""

import fcntl
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.forgetting.subjects import ForgettingError
from lang1_assets.ops.retention import RULES, Expired, expired, line_of, remove_expired
from lang1_assets.resources.store import MANIFEST, ArtifactStore

MADE = datetime(2026, 1, 1, tzinfo=UTC)
RIPE = {"readmission": {"ripe": True}}
UNRIPE = {"readmission": {"ripe": False}}
EXPORT = {"content": "first", "covers_until": "2025-02-01"}


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(root=str(folder / "artifacts" / "ours"))

    def make(self, name: str, *files: str, made: datetime = MADE, **summary: Any) -> Path:
        def write(work: Path) -> dict[str, Any]:
            for file in files:
                (work / file).write_text("text of a note")
            return summary

        artifact = self.store.build(name, write)
        manifest = json.loads((artifact.path / MANIFEST).read_text())
        (artifact.path / MANIFEST).write_text(json.dumps(manifest | {"created": made.isoformat()}))
        return artifact.path

    def landed(self, month: str, tasks: dict[str, Any], evaluated: tuple[str, ...] = ("joint",), **more: Any) -> Path:
        self.label(month, tasks, evaluated, **more)
        return self.export(month)

    def export(self, month: str, **facts: str) -> Path:
        return self.make(f"landed_export/{month}", "notes.csv", **(EXPORT | facts))

    def label(
        self, month: str, tasks: dict[str, Any], evaluated: tuple[str, ...] = ("joint",), followed_by: Any = None
    ) -> None:
        cohorts = self.store.path(f"landed_cohorts/{month}") / MANIFEST
        self.make(f"landed_cohorts/{month}", tasks=tasks, export=EXPORT, followed_by=followed_by or {})
        fingerprint = json.loads(cohorts.read_text())["fingerprint"]
        for recipe in evaluated:
            self.make(f"landed_evaluation/{month}/{recipe}", "rows.json", cohorts=fingerprint)

    def too_old(self, after: timedelta, **days: int) -> list[str]:
        found = expired(self.folder, "ours", ("joint",), days, MADE + after)
        return [str(one.path.relative_to(self.folder / "artifacts" / "ours")) for one in found]

    def remove(self, after: timedelta, **days: int) -> list[str]:
        lines: list[str] = []
        found = expired(self.folder, "ours", ("joint",), days, MADE + after)
        remove_expired(found, lambda one: lines.append(line_of(self.folder, one)))
        return lines


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def day(number: float) -> timedelta:
    return timedelta(days=number)


def test_by_default_everything_stays(home: Home) -> None:
    home.landed("2025-01", RIPE)
    home.make("finetuned_joint/a", "job.log", "generations.jsonl")
    assert home.too_old(day(10_000)) == []


@pytest.mark.parametrize(("after", "goes"), [(9.9, False), (10, True), (11, True)])
def test_files_of_a_month_go_so_many_days_after_its_evaluation(home: Home, after: float, goes: bool) -> None:
    home.landed("2025-01", RIPE)
    assert home.too_old(day(after), landed_files=10) == (["landed_export/2025-01"] if goes else [])


def test_no_file_goes_that_a_label_still_depends_on(home: Home) -> None:
    """February says who of January came back: while a label of January is open, both stay."""
    home.landed("2025-01", UNRIPE)
    home.landed("2025-02", RIPE)
    assert home.too_old(day(100), landed_files=1) == []


def test_nor_before_every_model_was_evaluated(home: Home) -> None:
    home.landed("2025-01", RIPE, evaluated=())
    assert home.too_old(day(100), landed_files=0) == []


@pytest.mark.parametrize("fact", [{"content": "corrected"}, {"covers_until": "2025-02-03"}])
def test_a_correction_stays_until_it_is_labelled(home: Home, fact: dict[str, str]) -> None:
    home.label("2025-01", RIPE)
    home.export("2025-01", **fact)
    home.landed("2025-02", RIPE)
    assert home.too_old(day(100), landed_files=1) == []


def test_what_follows_stays_until_earlier_months_are_labelled_with_it(home: Home) -> None:
    """February was corrected and is labelled; January, which its records were joined to, is not labelled again yet."""
    home.landed("2025-01", RIPE, followed_by={"2025-02": "before"})
    home.landed("2025-02", RIPE)
    assert home.too_old(day(100), landed_files=1) == ["landed_export/2025-01"]


def test_labels_that_were_made_again_are_evaluated_first(home: Home) -> None:
    home.landed("2025-01", RIPE)
    home.make("landed_evaluation/2025-01/other", cohorts="earlier labels")
    kept = expired(home.folder, "ours", ("joint", "other"), {"landed_files": 1}, MADE + day(100))
    assert kept == []
    assert home.too_old(day(100), landed_files=1) == ["landed_export/2025-01"]


def test_nor_before_an_earlier_month_has_labels(home: Home) -> None:
    """They went with a forgotten person, or the exports came in another order."""
    home.export("2025-01")
    home.landed("2025-02", RIPE)
    assert home.too_old(day(100), landed_files=1) == []


def test_a_log_goes_and_its_artifact_stays_finished(home: Home) -> None:
    path = home.make("finetuned_joint/a", "job.log", "model.safetensors")
    before = home.store.get("finetuned_joint/a").fingerprint
    (line,) = home.remove(day(30), job_logs=30)
    assert line == "job_logs: artifacts/ours/finetuned_joint/a/job.log, 30 days, 14 bytes"
    assert not (path / "job.log").exists()
    assert (path / "model.safetensors").exists()
    assert home.store.get("finetuned_joint/a").fingerprint == before


def test_what_models_wrote_and_what_was_superseded(home: Home) -> None:
    path = home.make("pretrained_model/a", "generations.jsonl")
    kept = home.make("landed_history/landed_export/2025-01/0123abcd", "notes.csv")
    aside = home.store.path("pretrained_model/a.partial-0123abcd")
    going_on = home.store.path("pretrained_model/b.partial")
    for folder in (aside, going_on):
        folder.mkdir()
        (folder / "plan.json").write_text("{}")
    far = day((datetime.now(UTC) - MADE).days + 100)
    home.remove(far, superseded=90, generations=30)
    assert not kept.exists()
    assert not aside.exists()
    assert going_on.exists()
    assert not (path / "generations.jsonl").exists()
    assert home.store.find("pretrained_model/a") is not None


def test_what_goes_is_written_down_before(home: Home) -> None:
    home.make("finetuned_joint/a", "job.log")
    home.landed("2025-01", RIPE)
    lines = home.remove(day(50), job_logs=30, landed_files=40)
    assert [line.partition(" days")[0] for line in lines] == [
        "landed_files: artifacts/ours/landed_export/2025-01, 50",
        "job_logs: artifacts/ours/finetuned_joint/a/job.log, 50",
    ]
    assert home.store.find("landed_export/2025-01") is None
    assert home.store.find("landed_cohorts/2025-01") is not None
    assert home.too_old(day(50), job_logs=30, landed_files=40) == []


@pytest.mark.parametrize("name", ["landed_export/2025-01", "finetuned_joint/a/job.log"])
def test_what_cannot_be_written_down_stays(home: Home, name: str) -> None:
    home.make("finetuned_joint/a", "job.log")
    home.landed("2025-01", RIPE)

    def full(one: Expired) -> None:
        raise OSError("No space left on device")

    found = expired(home.folder, "ours", ("joint",), {"job_logs": 30, "landed_files": 40}, MADE + day(50))
    (one,) = [one for one in found if one.path == home.store.path(name)]
    with pytest.raises(OSError, match="No space left"):
        remove_expired([one], full)
    assert one.path.exists()


@pytest.mark.parametrize("dagster_home", ["dagster", "serve/dagster"])
def test_output_of_steps_goes_with_its_folder(home: Home, dagster_home: str) -> None:
    """Of commands, and of the services."""
    logs = home.folder / dagster_home / "storage" / "run" / "compute_logs"
    logs.mkdir(parents=True)
    (logs / "step.out").write_text("a line")
    far = datetime.now(UTC) - MADE + day(8)
    (line,) = home.remove(far, job_logs=7)
    assert line.startswith(f"job_logs: {dagster_home}/storage/run/compute_logs, ")
    assert not logs.exists()


@given(st.dictionaries(st.sampled_from(RULES), st.integers(0, 400)), st.integers(0, 400))
def test_nothing_younger_than_its_rule(
    tmp_path_factory: pytest.TempPathFactory, days: dict[str, int], age: int
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    home.landed("2025-01", RIPE)
    home.make("finetuned_joint/a", "job.log", "generations.jsonl")
    now = MADE + day(age)
    found = expired(home.folder, "ours", ("joint",), days, now)
    assert all(one.age_days == age >= days[one.rule] for one in found)
    assert {one.rule for one in found} == {rule for rule, most in days.items() if age >= most} - {"superseded"}


def test_what_a_run_is_making_stays_and_everything_else_goes(home: Home) -> None:
    held = home.make("finetuned_joint/a", "job.log")
    other = home.make("finetuned_joint/b", "job.log")
    with open(f"{held}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ForgettingError, match=r"finetuned_joint/a/job\.log: a run is making it"):
            home.remove(day(30), job_logs=30)
    assert (held / "job.log").exists()
    assert not (other / "job.log").exists()
