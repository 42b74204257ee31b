"""Processes that are killed, numbers that are given again, machines that are started anew, clocks that jump."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops import process_identity
from lang1_assets.ops.process_identity import ProcessIdentity, identify, is_gone, runs_the_same_program

NOBODY = 65534
WORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    found = identify(process.pid)
    assert found is not None
    return found


def test_a_process_is_there_until_it_is_killed(sleeper: subprocess.Popen[bytes]) -> None:
    known = identity_of(sleeper)
    assert is_gone(known) is False
    sleeper.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    # Nobody has asked for its exit code: its number is still taken.
    while not is_gone(known) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_gone(known) is True
    os.kill(sleeper.pid, 0)
    assert identify(sleeper.pid) is None
    sleeper.wait()
    assert is_gone(known) is True


def test_a_number_that_was_given_again_is_another_process(sleeper: subprocess.Popen[bytes]) -> None:
    known = identity_of(sleeper)
    assert is_gone(replace(known, start_ticks=known.start_ticks - 1)) is True


def test_another_start_of_the_machine_ended_it(sleeper: subprocess.Popen[bytes]) -> None:
    assert is_gone(replace(identity_of(sleeper), boot="another")) is True


@pytest.mark.parametrize(
    "change", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}, {"host": "elsewhere", "boot": "x"}]
)
def test_what_cannot_be_looked_at_is_not_said_to_be_gone(
    sleeper: subprocess.Popen[bytes], change: dict[str, str]
) -> None:
    assert is_gone(replace(identity_of(sleeper), **change)) is None


def test_no_clock_is_asked(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    known = identity_of(sleeper)
    for jump in (-3_000_000_000.0, 3_000_000_000.0):
        now = time.time() + jump
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert identify(sleeper.pid) == known
        assert is_gone(known) is False


def test_a_command_s_name_may_hold_brackets_and_spaces() -> None:
    code = "import ctypes,time; ctypes.CDLL(None).prctl(15, b'a) Z 1 (b'); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        known = identity_of(process)
        assert is_gone(known) is False
        process.kill()


def test_the_same_program_is_told_from_another(sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert runs_the_same_program(sleeper.pid)
        deadline = time.monotonic() + 10
        # Until it has become `sleep`, it is a copy of this process.
        while runs_the_same_program(other.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not runs_the_same_program(other.pid)
        other.kill()


def answer_of_child(asked: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(asked())
        except BaseException:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return bool(code)


def parent_may_be_the_same_program() -> bool:
    with pytest.raises(PermissionError):
        os.readlink(f"/proc/{os.getppid()}/exe")
    return runs_the_same_program(os.getppid())


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user; root may look at everybody's")
def test_what_another_user_keeps_to_himself_is_not_the_same_program() -> None:
    def as_nobody() -> bool:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return parent_may_be_the_same_program()

    assert not answer_of_child(as_nobody)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user; root may look at everybody's")
def test_what_this_user_keeps_to_himself_may_be_the_same_program() -> None:
    """Who has changed his user does not let himself be looked at, not by his own child either."""

    def as_nobody() -> bool:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return answer_of_child(parent_may_be_the_same_program)

    assert answer_of_child(as_nobody)


def test_a_process_without_a_program_is_not_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel's own, of which root reads that there is none."""
    (tmp_path / "7").mkdir()
    monkeypatch.setattr(process_identity, "PROC", tmp_path)
    assert not runs_the_same_program(7)


@given(WORDS, WORDS, WORDS, st.integers(0), st.integers(0))
def test_what_is_written_is_read(host: str, boot: str, namespace: str, pid: int, ticks: int) -> None:
    identity = ProcessIdentity(host=host, boot=boot, namespace=namespace, pid=pid, start_ticks=ticks)
    assert ProcessIdentity.parse(str(identity)) == identity


@given(st.text())
def test_anything_else_is_nobody(text: str) -> None:
    found = ProcessIdentity.parse(text)
    assert found is None or str(found).split(" ")[:3] == text.split(" ")[:3]
