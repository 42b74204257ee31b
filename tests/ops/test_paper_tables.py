"""The paper's tables add up where the paper does."""

import pytest

from lang1_assets.ops import paper_tables, schemas
from lang1_assets.ops.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_task_and_split_is_there_and_adds_up(task):
    assert tuple(paper_tables.NOTE_COUNTS[task]) == schemas.SPLITS
    assert sum(paper_tables.NOTE_COUNTS[task].values()) == paper_tables.NOTE_TOTALS[task]
    for split in schemas.SPLITS:
        ratios = paper_tables.CLASS_RATIOS[task][split]
        assert len(ratios) == TASKS[task].num_classes
        assert sum(ratios) == pytest.approx(1, abs=3e-6)


@pytest.mark.parametrize("task", TASKS)
def test_patients_are_fewer_than_notes_but_for_the_one_misprint(task):
    more = {s for s in schemas.SPLITS if paper_tables.PATIENT_COUNTS[task][s] > paper_tables.NOTE_COUNTS[task][s]}
    assert more == ({"temporal_2021"} if task == "comorbidity" else set())
    assert paper_tables.PATIENT_TOTALS[task] < paper_tables.NOTE_TOTALS[task]
