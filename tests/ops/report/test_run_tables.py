"""Our cohorts beside the paper's."""

import numpy as np
import pytest

from lang1_assets.ops import paper_tables
from lang1_assets.ops.report import CohortCount
from lang1_assets.ops.report.run_tables import cohort_table, differs_from_paper
from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.tasks import TASKS

MORTALITY = TASKS["mortality"]


def count(*notes: int) -> CohortCount:
    return CohortCount(task="mortality", split="test", notes_by_label=notes, num_patients=sum(notes))


@pytest.mark.parametrize(
    ("notes", "differs"), [((981, 19), False), ((960, 40), True), ((0, 0), False), ((5, 0), False)]
)
def test_a_ratio_differs_where_chance_hardly_explains_it(notes, differs):
    assert differs_from_paper(MORTALITY, count(*notes), 1) is differs


def test_false_alarms_are_rare():
    rng = np.random.default_rng(0)
    rate = paper_tables.CLASS_RATIOS["mortality"]["test"][1]
    deaths = rng.binomial(2_000, rate, 400)
    alarms = sum(differs_from_paper(MORTALITY, count(2_000 - int(d), int(d)), 1) for d in deaths)
    assert alarms <= 3


def test_ours_stand_beside_the_papers():
    made = cohort_table(MORTALITY, [count(981, 19)], SplitTitles())
    assert made.header == ("Split", "Notes", "B1", "Patients", "B2", "no", "B4", "yes", "B4")
    assert [cell.text for cell in made.rows[0]] == [
        *("Test", "1,000", "41,815", "1,000", "39,357", "98.10%", "98.09%", "1.90%", "1.91%")
    ]
    assert made.reference == {2, 4, 6, 8}
