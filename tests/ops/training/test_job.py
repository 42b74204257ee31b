from collections.abc import Callable

import pytest

from lang1_assets.ops.training.job import INPUT_ERROR_EXIT_CODE, STOPPED_EXIT_CODE, run_job


def wrong_input() -> bool:
    raise ValueError("the batch does not divide")


@pytest.mark.parametrize(
    ("job", "code"), [(lambda: True, 0), (lambda: False, STOPPED_EXIT_CODE), (wrong_input, INPUT_ERROR_EXIT_CODE)]
)
def test_a_job_s_exit_code_says_how_it_ended(job: Callable[[], bool], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        run_job(job)
    assert ended.value.code == code


def test_a_crash_is_no_input_error() -> None:
    """It may pass, so the launcher's caller tries again."""
    with pytest.raises(ZeroDivisionError):
        run_job(lambda: bool(1 / 0))
