"""The daemon's container is stopped, or its daemon dies: runs save before the container ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lang1_assets.services import run_workers
from lang1_assets.services.run_workers import FOLDER_VARIABLE
from tests.services.test_supervisor import until

RUN = "11111111-2222-3333-4444-555555555555"
DAEMON = """
import pathlib, signal, sys, time
def end(*given): pathlib.Path(sys.argv[1]).write_text(str(time.time())); sys.exit()
signal.signal(signal.SIGTERM, end); print("ready", flush=True); time.sleep(120)
"""
WORKER = """
import pathlib, signal, sys, time
def save(*given): time.sleep(1); pathlib.Path(sys.argv[1]).write_text(str(time.time())); sys.exit()
signal.signal(signal.SIGTERM, save); print("ready", flush=True); time.sleep(120)
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN); print("ready", flush=True); time.sleep(120)
"""


def started(words: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, FOLDER_VARIABLE: str(folder)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)


def is_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.fixture
def main_process(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lang1_assets.services.container_daemon", sys.executable, "-c", DAEMON]
    process = started([*command, str(tmp_path / "daemon")], tmp_path / "runs")
    is_ready(process)
    return process


def worker(folder: Path, code: str = WORKER) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(folder / "saved")]
    process = started(run_workers.command_of(folder / "runs", RUN, command), folder / "runs")
    is_ready(process)
    return process


def test_runs_save_after_the_daemon_has_ended(main_process: subprocess.Popen[str], tmp_path: Path) -> None:
    run = worker(tmp_path)
    main_process.send_signal(signal.SIGTERM)
    assert main_process.wait(60) == 0
    assert run.wait(1) == 0, "it had ended before"
    assert float((tmp_path / "daemon").read_text()) < float((tmp_path / "saved").read_text()), "no run starts meanwhile"


def test_whoever_asks_twice_is_in_a_hurry(main_process: subprocess.Popen[str], tmp_path: Path) -> None:
    run = worker(tmp_path, STUBBORN)
    main_process.send_signal(signal.SIGTERM)
    until(lambda: (tmp_path / "daemon").exists(), "the daemon to end")
    assert run.poll() is None
    main_process.send_signal(signal.SIGTERM)
    assert main_process.wait(60) == 0
    assert run.wait(1) == -signal.SIGKILL


def test_a_daemon_that_dies_takes_the_container_along_and_runs_save(
    main_process: subprocess.Popen[str], tmp_path: Path
) -> None:
    run = worker(tmp_path)
    (daemon,) = Path(f"/proc/{main_process.pid}/task/{main_process.pid}/children").read_text().split()
    os.kill(int(daemon), signal.SIGKILL)
    assert main_process.wait(60) == 128 + signal.SIGKILL
    assert run.wait(1) == 0
    assert (tmp_path / "saved").exists()


def test_workers_of_an_earlier_container_are_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / f"{RUN}.worker").write_text(f"lang1-runs boot pid:[1] {os.getpid()} 1")
    command = [sys.executable, "-m", "lang1_assets.services.container_daemon", sys.executable, "-c", "print('ready')"]
    process = started(command, folder)
    is_ready(process)
    assert process.wait(60) == 0
    assert list(folder.iterdir()) == []
