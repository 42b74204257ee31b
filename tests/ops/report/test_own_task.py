"""The page of a hospital that has a task of its own besides the paper's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lang1_assets.ops.report import write_report
from lang1_assets.ops.tasks import TASKS, Cohort, Task, use_own_tasks
from tests.ops.report.sample import sample_report


@pytest.fixture
def own_task() -> Iterator[Task]:
    cohort = Cohort(sql="select 1")
    task = replace(TASKS["mortality"], name="transfer", title="Transfer to intensive care", cohort=cohort)
    yield task
    use_own_tasks(())


def test_its_results_are_on_the_page_and_no_table_of_the_paper_is_beside_its_cohort(
    own_task: Task, tmp_path: Path
) -> None:
    data = sample_report(20)
    use_own_tasks([own_task])
    zero_shot = [row for row in data.rows if row["task"] == "mortality" and row["trained_on"] is None]
    rows = [{**row, "task": "transfer", "oracle": None, "oracle_n": 0} for row in zero_shot]
    cohorts = [replace(count, task="transfer") for count in data.cohorts if count.task == "mortality"]
    write_report(replace(data, rows=(*data.rows, *rows), cohorts=(*data.cohorts, *cohorts)), tmp_path)  # type: ignore[arg-type]
    (page,) = tmp_path.glob("*.html")
    text = page.read_text()
    before, after = text.split('id="cohorts"')
    assert own_task.title in before
    assert own_task.title not in after.split("<section")[0]
