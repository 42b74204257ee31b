import atexit
import os
from collections.abc import Callable

import pytest

from lang1_assets.ops.training.job import INPUT_ERROR_EXIT_CODE, STOPPED_EXIT_CODE, run_job

CRASHED = 70


def wrong_input() -> bool:
    raise ValueError("the batch does not divide")


def exit_code_of(job: Callable[[], bool]) -> int:
    """Of a process that runs the job and would crash at its interpreter's end."""
    pid = os.fork()
    if pid == 0:
        atexit.register(os.abort)
        try:
            print("begun")
            run_job(job)
        except ZeroDivisionError:
            os._exit(CRASHED)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("job", "code"), [(lambda: True, 0), (lambda: False, STOPPED_EXIT_CODE), (wrong_input, INPUT_ERROR_EXIT_CODE)]
)
def test_a_job_s_exit_code_says_how_it_ended(
    job: Callable[[], bool], code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever libraries do at the interpreter's end, and with nothing lost of what it printed."""
    assert exit_code_of(job) == code
    told = capfd.readouterr()
    assert told.out == "begun\n"
    assert ("ValueError: the batch does not divide" in told.err) == (code == INPUT_ERROR_EXIT_CODE)


def test_a_crash_is_no_input_error() -> None:
    """It may pass, so the launcher's caller tries again."""
    assert exit_code_of(lambda: bool(1 / 0)) == CRASHED
