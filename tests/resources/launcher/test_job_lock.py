"""Two jobs never write into one folder, however the step of the first one ended."""

import subprocess
import time
from pathlib import Path

import pytest

from lang1_assets.resources.launcher.job_lock import held_by_job
from lang1_assets.resources.launcher.jobs import LaunchError


def holder(work: Path, seconds: str = "60") -> subprocess.Popen[bytes]:
    """A process that has the lock, as a job has whose step is gone."""
    with held_by_job(work, 1.0, lambda: None) as descriptor:
        return subprocess.Popen(["sleep", seconds], pass_fds=(descriptor,), start_new_session=True)


def test_the_lock_stays_with_the_job_and_lies_beside_its_folder(tmp_path: Path) -> None:
    work = tmp_path / "tiny.partial"
    work.mkdir()
    job = holder(work)
    waited: list[bool] = []
    with (
        pytest.raises(LaunchError, match=f"still writes into {work}"),
        held_by_job(work, 0.3, lambda: waited.append(True)),
    ):
        raise AssertionError("two jobs in one folder")
    assert waited == [True]
    assert list(work.iterdir()) == []
    job.kill()
    job.wait()
    with held_by_job(work, 0.0, lambda: waited.append(True)):
        assert waited == [True], "nobody is waited for any more"


def test_the_next_job_starts_when_the_earlier_one_has_saved(tmp_path: Path) -> None:
    work = tmp_path / "tiny.partial"
    job = holder(work, "1")
    before = time.monotonic()
    with held_by_job(work, 30.0, lambda: None):
        assert job.wait() == 0
    assert 0.5 < time.monotonic() - before < 20
    with held_by_job(tmp_path / "other.partial", 0.0, lambda: None):
        pass
