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


@pytest.mark.parametrize("task", TASKS)
def test_each_label_has_a_title_and_each_table_its_words(task):
    assert len(paper_tables.RATIO_TITLES[task]) == TASKS[task].num_classes
    # 911 to 1,182 words a note: a digit too many or too few would show.
    assert 900 < paper_tables.WORD_TOTALS[task] / paper_tables.NOTE_TOTALS[task] < 1_200


def test_the_misprint_is_where_patients_outnumber_notes():
    for table, task, split in paper_tables.MISPRINTS:
        assert table == "B2"
        assert paper_tables.PATIENT_COUNTS[task][split] > paper_tables.NOTE_COUNTS[task][split]


def test_the_shares_of_the_figure_are_of_known_groups_in_falling_order():
    for (group, attribute), named in paper_tables.TOP_SHARES.items():
        assert group in {"pathology", "radiology", "hospital"}
        assert attribute in {"department", "diagnosis", "borough"}
        shares = [share for _, share in named]
        assert shares == sorted(shares, reverse=True)
        assert all(0 < share < 1 for share in shares)
