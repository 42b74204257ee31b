"""A leashed command lives as long as its holder, and has time to save."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.ended import has_ended

# Saves when it is asked to end, and has a child that would outlive it.
SAVES = (
    "import signal, subprocess, sys, time; child = subprocess.Popen(['sleep', '100']); "
    "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), open('saved', 'w').close(), sys.exit(143))); "
    "open('pids', 'w').write(str(child.pid)); time.sleep(100)"
)
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('pids', 'w').write('0'); time.sleep(100)"
)


# As DeepSpeed's launcher: kills its rank when it is asked to end, and ends when the rank does.
LAUNCHER = (
    "import signal, subprocess, sys; rank = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); "
    "signal.signal(signal.SIGTERM, lambda *_: rank.kill()); sys.exit(rank.wait())"
)


def leash(
    folder: Path, *program: str, save_seconds: float = 10, grace_seconds: float = 10, options: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    seconds = ["--save-seconds", str(save_seconds), "--grace-seconds", str(grace_seconds)]
    words = ["-m", "lang1_assets.ops.training.leash", *seconds, *options, "--", sys.executable, "-c"]
    return subprocess.Popen([sys.executable, *words, *program], cwd=folder, stdin=subprocess.PIPE)


def wait_for_pids(folder: Path) -> int:
    deadline = time.monotonic() + 30
    while not (folder / "pids").exists() or not (folder / "pids").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int((folder / "pids").read_text())


@pytest.mark.parametrize("how", ["let_go", "terminate", "hang_up"])
def test_it_saves_and_ends_with_everything_it_started(tmp_path: Path, how: str) -> None:
    process = leash(tmp_path, SAVES)
    child = wait_for_pids(tmp_path)
    assert process.stdin is not None
    if how == "let_go":
        process.stdin.close()
    else:
        process.send_signal(signal.SIGTERM if how == "terminate" else signal.SIGHUP)
    assert process.wait(20) == 143
    assert (tmp_path / "saved").exists()
    assert has_ended(child)


def test_what_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    process = leash(tmp_path, DEAF, save_seconds=0.5)
    wait_for_pids(tmp_path)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 128 + signal.SIGKILL


def test_a_holder_in_a_hurry_waits_for_nothing_to_be_saved(tmp_path: Path) -> None:
    process = leash(tmp_path, DEAF, save_seconds=600, grace_seconds=0.5)
    wait_for_pids(tmp_path)
    assert process.stdin is not None
    process.stdin.write(b"!")
    process.stdin.close()
    assert process.wait(20) == 128 + signal.SIGKILL


@pytest.mark.parametrize(("options", "saved"), [(("--spare-leader",), True), ((), False)])
def test_a_launcher_that_would_kill_its_ranks_is_not_asked(
    tmp_path: Path, options: tuple[str, ...], saved: bool
) -> None:
    process = leash(tmp_path, LAUNCHER, SAVES, options=options)
    wait_for_pids(tmp_path)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(20)
    assert (tmp_path / "saved").exists() == saved


def test_a_killed_leash_takes_its_command_along(tmp_path: Path) -> None:
    process = leash(tmp_path, SAVES)
    wait_for_pids(tmp_path)
    command = psutil.Process(process.pid).children()[0].pid
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while not has_ended(command):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize("code", [0, 3, 65])
def test_the_exit_code_is_the_command_s(tmp_path: Path, code: int) -> None:
    assert leash(tmp_path, f"raise SystemExit({code})").wait(20) == code


def test_what_the_holder_writes_is_no_reason_to_end(tmp_path: Path) -> None:
    process = leash(tmp_path, "import time; time.sleep(1)")
    assert process.stdin is not None
    process.stdin.write(b"anything\n" * 1000)
    process.stdin.flush()
    assert process.wait(20) == 0
