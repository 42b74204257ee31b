import json
import subprocess
import sys

import pytest

from lang1_assets.ops.training.job import INPUT_ERROR_EXIT_CODE, STOPPED_EXIT_CODE

CRASHED = 70
ENDS = """
import atexit, json, os, sys
from lang1_assets.ops.training.job import run_job

def wrong_input():
    raise ValueError("the batch does not divide")

# Each in a process of its own, whose interpreter would crash at its end.
def exit_code_of(name, job):
    pid = os.fork()
    if pid == 0:
        atexit.register(os.abort)
        try:
            print("begun:", name)
            run_job(job)
        except ZeroDivisionError:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

jobs = {"done": lambda: True, "stopped": lambda: False, "wrong input": wrong_input, "crash": lambda: bool(1 / 0)}
codes = {name: exit_code_of(name, job) for name, job in jobs.items()}
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def ended() -> subprocess.CompletedProcess[str]:
    # Not from here: where a test has joined a process group, a fork has it without its threads.
    return subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("name", "code"), [("done", 0), ("stopped", STOPPED_EXIT_CODE), ("wrong input", INPUT_ERROR_EXIT_CODE)]
)
def test_a_job_s_exit_code_says_how_it_ended(ended: subprocess.CompletedProcess[str], name: str, code: int) -> None:
    """Whatever libraries do at the interpreter's end."""
    assert json.loads(ended.stdout.splitlines()[-1])[name] == code


def test_nothing_is_lost_of_what_it_said(ended: subprocess.CompletedProcess[str]) -> None:
    assert {f"begun: {name}" for name in ("done", "stopped", "wrong input")} <= set(ended.stdout.splitlines())
    assert ended.stderr.count("ValueError: the batch does not divide") == 2, "the traceback, and the line for people"


def test_a_crash_is_no_input_error(ended: subprocess.CompletedProcess[str]) -> None:
    """It may pass, so the launcher's caller tries again."""
    assert json.loads(ended.stdout.splitlines()[-1])["crash"] == CRASHED
