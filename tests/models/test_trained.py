"""One training job of an asset, with services that only count."""

from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lang1_assets.models.trained import Services, TrainingRun, train
from lang1_assets.settings import load_settings


@pytest.mark.parametrize(("left", "launches"), [(None, 1), ('{"steps": ', 1), ('{"steps": 7}', 0)])
def test_what_fails_after_a_job_does_not_train_again(left: str | None, launches: int, tmp_path: Path) -> None:
    """A retry finds the summary of the job; half of one is none."""
    if left is not None:
        (tmp_path / "summary.json").write_text(left)
    launched, handed_on = [], []

    @contextmanager
    def tracked(*arguments: Any, **named: Any) -> Any:
        yield SimpleNamespace(run_id="1", url="u", log_rows=None)

    def launch(*arguments: Any, work: Path, **named: Any) -> None:
        launched.append(work)
        (work / "summary.json").write_text('{"steps": 7}')

    services: Any = Services(
        launcher=SimpleNamespace(run=launch, hand_on_rest=lambda work, **to: handed_on.append(work)),  # type: ignore[arg-type]
        tracking=SimpleNamespace(run=tracked),  # type: ignore[arg-type]
        alerts=SimpleNamespace(watch=lambda *arguments: nullcontext(), send=print),  # type: ignore[arg-type]
    )
    job = TrainingRun(experiment="e", name="n", module="m", config={}, params={}, inputs=[], num_cpu_ranks=1)
    context: Any = None
    assert train(context, load_settings("tiny"), services, job, tmp_path)["steps"] == 7
    # What it had written down and nobody took is taken now.
    assert (len(launched), len(handed_on)) == (launches, 1 - launches)
