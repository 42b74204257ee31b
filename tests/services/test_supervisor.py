"""Services under a supervisor: started in order, started again whatever ends them, ended in order, nothing left."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from lang1_assets.cli.serve import serve
from lang1_assets.ops.process_identity import identify
from lang1_assets.services.keeper import Keeper, keep_short, open_log
from lang1_assets.services.lineup import Places
from lang1_assets.services.run_workers import command_of
from lang1_assets.services.service import Service
from lang1_assets.services.supervisor import AlreadyRunningError, only_one, supervisor_of
from lang1_assets.settings import load_settings
from lang1_assets.settings.serve import Serve
from tests.ended import has_ended

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(found: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


@contextlib.contextmanager
def supervised(home: Path, rows: list[dict[str, Any]]) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "tests.services.supervised", str(home), json.dumps(rows)]
    process = subprocess.Popen(words)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def described(home: Path, name: str) -> dict[str, Any]:
    path = Places(home=home).processes
    return dict(json.loads(path.read_text())[name]) if path.exists() else {}


def answering(home: Path, name: str, other_than: int | None = None) -> int | None:
    row = described(home, name)
    return row["pid"] if row.get("answers") and row["pid"] != other_than else None


def said(home: Path) -> str:
    path = Places(home=home).logs / "supervisor.log"
    return path.read_text() if path.exists() else ""


def in_order(home: Path, *texts: str) -> bool:
    """Whether the supervisor said each of them once, one after the other."""
    lines = [line.partition(" ")[2] for line in said(home).splitlines()]
    return [line for line in lines if line in texts] == list(texts)


def test_services_start_in_order_come_back_and_end_in_order(tmp_path: Path) -> None:
    rows = [{"name": "base", "port": free_port()}, {"name": "daemon", "port": free_port(), "after": ["base"]}]
    with supervised(tmp_path, rows) as supervisor:
        until(lambda: (tmp_path / "ready").exists(), "both to answer")
        starts = [line for line in said(tmp_path).splitlines() if "start" in line]
        assert [line.split()[1] for line in starts] == ["base:", "base:", "daemon:", "daemon:"], "after it answered"
        first = answering(tmp_path, "daemon")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        second = until(lambda: answering(tmp_path, "daemon", other_than=first), "the daemon to come back")
        assert "daemon: ended with code -9; starts again in 0.5 s" in said(tmp_path)
        assert described(tmp_path, "daemon")["starts"] == 2
        assert described(tmp_path, "base")["starts"] == 1
        base = answering(tmp_path, "base")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
    assert in_order(tmp_path, "ending", "daemon: has ended", "base: has ended", "ended")
    assert not psutil.pid_exists(base)
    assert not psutil.pid_exists(second)
    assert not Places(home=tmp_path).processes.exists()
    assert supervisor_of(Places(home=tmp_path).lock) is None


def test_what_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, [{"name": "web", "port": free_port()}]):
        first = until(lambda: answering(tmp_path, "web"), "an answer")
        silent = tmp_path / "web.silent"
        silent.touch()
        until(lambda: "web: hangs; starts again" in said(tmp_path), "it to be called hanging")
        silent.unlink()
        until(lambda: answering(tmp_path, "web", other_than=first), "it to come back")
        assert not psutil.pid_exists(first)


def test_pauses_grow_while_a_service_fails_and_its_log_is_its_owner_s(tmp_path: Path) -> None:
    row = {"name": "broken", "port": free_port(), "command": ["sh", "-c", "echo no such file; exit 3"]}
    with supervised(tmp_path, [row]):
        until(lambda: "starts again in 2.0 s" in said(tmp_path), "the third failure")
    assert "ended with code 3; starts again in 0.5 s" in said(tmp_path)
    log = Places(home=tmp_path).logs / "broken.log"
    assert log.read_text().startswith("no such file\n")
    assert log.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "ready").exists()


def test_children_of_a_killed_service_do_not_keep_its_port(tmp_path: Path) -> None:
    from tests.services.supervised import ANSWERING

    port = free_port()
    holds = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ANSWERING!r}, '{port}', '{tmp_path}/none'])"
    )
    with supervised(tmp_path, [{"name": "web", "port": port, "command": [sys.executable, "-c", holds]}]):
        first = until(lambda: answering(tmp_path, "web"), "an answer")
        (child,) = psutil.Process(first).children()
        os.kill(first, signal.SIGKILL)
        until(lambda: answering(tmp_path, "web", other_than=first), "it to come back on the same port")
        assert has_ended(child.pid)


def test_a_killed_supervisor_takes_its_services_along_and_the_next_one_starts(tmp_path: Path) -> None:
    rows = [{"name": "base", "port": free_port()}]
    with supervised(tmp_path, rows) as supervisor:
        base = until(lambda: answering(tmp_path, "base"), "an answer")
        supervisor.kill()
        supervisor.wait()
        until(lambda: not psutil.pid_exists(base), "the kernel to end it")
    with supervised(tmp_path, rows):
        until(lambda: answering(tmp_path, "base", other_than=base), "it to answer again")


def test_what_does_not_end_is_killed_and_runs_end_before_what_they_need(tmp_path: Path) -> None:
    port = free_port()
    rows = [{"name": "base", "port": port}, {"name": "stuck", "port": port, "stop_seconds": 1.0}]
    rows[1]["command"] = [sys.executable, "-c", STUBBORN]
    with supervised(tmp_path, rows) as supervisor:
        until(lambda: (tmp_path / "ready").exists(), "both to answer")
        stuck = described(tmp_path, "stuck")["pid"]
        worker = subprocess.Popen(
            command_of(Places(home=tmp_path).run_workers, "0" * 8, ["sleep", "60"]), start_new_session=True
        )
        until(lambda: (Places(home=tmp_path).run_workers / "00000000.worker").exists(), "the worker")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
    assert worker.wait(10) == -signal.SIGTERM
    assert not psutil.pid_exists(stuck)
    assert "stuck: does not end, killed" in said(tmp_path)
    worker_ended = "run 00000000: its worker was ended; the next start takes it up again"
    assert in_order(tmp_path, "ending", worker_ended, "stuck: has ended", "ended")
    assert in_order(tmp_path, worker_ended, "base: has ended", "ended")


def test_one_supervisor_a_home(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with only_one(lock):
        assert supervisor_of(lock) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=f"under process {os.getpid()}"), only_one(lock):
            pass
    assert supervisor_of(lock) is None


def test_who_looks_while_a_supervisor_starts_finds_that_one(tmp_path: Path) -> None:
    """It holds the lock a moment before it is named there, and who was killed before still is."""
    earlier = subprocess.Popen(["sleep", "60"])
    ended = str(identify(earlier.pid))
    earlier.kill()
    earlier.wait()
    lock = tmp_path / "lock"
    for text in ("", ended):
        lock.write_text(text)
        with open(lock, "r+") as handle, ThreadPoolExecutor(2) as threads:
            fcntl.flock(handle, fcntl.LOCK_EX)
            looks = threads.submit(supervisor_of, lock)
            second = threads.submit(contextlib.ExitStack().enter_context, only_one(lock))
            time.sleep(0.2)
            assert not looks.done()
            assert not second.done()
            lock.write_text(str(identify(os.getpid())))
            assert looks.result(10) == os.getpid()
            assert isinstance(second.exception(10), AlreadyRunningError)
        assert supervisor_of(lock) is None


def test_who_only_looks_keeps_no_supervisor_from_starting(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    with open(lock) as reader, contextlib.ExitStack() as held, ThreadPoolExecutor(1) as threads:
        fcntl.flock(reader, fcntl.LOCK_SH)
        starting = threads.submit(held.enter_context, only_one(lock))
        time.sleep(0.2)
        assert not starting.done()
        fcntl.flock(reader, fcntl.LOCK_UN)
        starting.result(10)
        assert supervisor_of(lock) == os.getpid()


def keeper_of(tmp_path: Path, said_lines: list[str], **more: Any) -> Keeper:
    fields: dict[str, Any] = {"name": "one", "command": ("sleep", "60"), "check": lambda: None, "environment": {}}
    service = Service(**{**fields, **more})
    return Keeper(service, tmp_path / "one.log", said_lines.append, Serve(start_seconds=60, check_seconds=0.1))


def look_until(keeper: Keeper, found: Callable[[], Any], what: str) -> None:
    with ThreadPoolExecutor(1) as threads:
        until(lambda: keeper.look(threads, may_start=True) or found(), what)


def test_a_second_one_changes_nothing_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other ports in its profile it would lead the first one's daemon and web server astray when they start again."""
    settings, places = load_settings("tiny"), Places(home=tmp_path)
    monkeypatch.setattr(os, "umask", lambda mask: mask)
    places.serve.mkdir()
    with only_one(places.lock), pytest.raises(SystemExit, match="run already"):
        serve(settings, places)
    assert [path.name for path in places.serve.iterdir()] == ["lock"]


def test_what_follows_the_first_answer_is_tried_until_it_succeeds(tmp_path: Path) -> None:
    lines: list[str] = []
    attempts: list[float] = []

    def make_databases() -> None:
        attempts.append(time.monotonic())
        if len(attempts) < 3:
            raise ValueError("the server is starting up")

    keeper = keeper_of(tmp_path, lines, when_ready=make_databases)
    look_until(keeper, lambda: keeper.is_ready, "the third attempt")
    keeper.end(signal.SIGTERM)
    keeper.wait(5)
    assert len(attempts) == 3
    assert lines.count("one: the server is starting up") == 2
    assert keeper.num_starts == 1


def test_what_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    lines: list[str] = []
    keeper = keeper_of(tmp_path, lines)
    full = tmp_path / "one.log"
    full.mkdir()
    look_until(keeper, lambda: len(lines) == 2, "two attempts")
    assert lines[0].startswith("one: cannot be started (Is a directory")
    assert "starts again in 1.0 s" in lines[1]
    full.rmdir()
    look_until(keeper, lambda: keeper.answers, "it to start when there is room")
    keeper.end(signal.SIGTERM)
    keeper.wait(5)


def test_a_log_is_cut_and_what_was_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lang1_assets.services.keeper.MAX_LOG_BYTES", 10)
    log = tmp_path / "one.log"
    with open(open_log(log), "a") as writer:
        for text in ("short\n", "and too long\n"):
            keep_short(log)
            print(text, end="", file=writer, flush=True)
        keep_short(log)
        print("new", file=writer, flush=True)
    assert log.read_text() == "new\n"
    kept = tmp_path / "one.log.1"
    assert kept.read_text() == "short\nand too long\n"
    assert kept.stat().st_mode & 0o077 == 0
