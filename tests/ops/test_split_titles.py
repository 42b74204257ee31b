"""Tests are called after the windows that the profile gives them."""

import doctest
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops import paper_tables, split_titles
from lang1_assets.ops.split_titles import SplitTitles, titles_of_windows, window_titles
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.settings import load_settings
from lang1_assets.settings.cohorts import Cohorts

OTHERS = [task for task in REMEDE if task != "insurance_denial"]


def test_the_windows_of_the_paper_have_its_years() -> None:
    titles = Cohorts().split_titles
    for split in ("temporal_2021", "temporal_2024"):
        for task in REMEDE:
            assert titles.of(split, task) == paper_tables.TEST_TITLES.of(split, task)
    assert titles.of("temporal_2021", "insurance_denial") == "2022"
    assert titles.heading("temporal_2021", REMEDE) == "2021 (insurance denial: 2022)"
    assert titles.heading("temporal_2021", OTHERS) == "2021"
    assert Cohorts().headline_title(REMEDE) == "2024 test"


def test_a_profile_s_own_years_are_its_tests_names(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(
        "extends: tiny\nname: ours\ncohorts:\n  split_windows:\n"
        "    inpatient: {development: [2010-01-01, 2016-01-01], temporal_2021: [2016-01-01, 2018-01-01], "
        "temporal_2024: [2018-01-01, 2019-01-01]}\n"
        "    insurance_denial: {development: [2012-01-01, 2019-01-01], temporal_2021: [2019-01-01, 2019-04-01], "
        "temporal_2024: [2019-04-01, 2019-05-01]}\n"
    )
    cohorts = load_settings(str(tmp_path / "ours.yaml")).cohorts
    assert [cohorts.split_titles.of(split) for split in cohorts.split_names] == [
        *("Train", "Validation", "Test", "2016 \N{EN DASH} 2017", "2018")
    ]
    assert cohorts.headline_split == "temporal_2024"
    assert cohorts.headline_title(OTHERS) == "2018 test"
    assert cohorts.headline_title(["insurance_denial"]) == "2019-04 test"
    assert cohorts.headline_title(REMEDE) == "2018 test (insurance denial: 2019-04)"


def test_without_windows_there_is_the_test_set_alone() -> None:
    cohorts = Cohorts(splits="shares")
    assert cohorts.split_titles == SplitTitles()
    assert cohorts.headline_title(REMEDE) == "test set"


@given(st.lists(st.integers(1, 800), min_size=4, max_size=4))
def test_two_windows_never_have_one_name(lengths: list[int]) -> None:
    edges = [date(2017, 1, 1) + timedelta(days=sum(lengths[:place])) for place in range(5)]
    windows = {"temporal_2021": (edges[0], edges[1]), "temporal_2024": (edges[2], edges[3])}
    titles = window_titles({"development": (date(2010, 1, 1), edges[0]), **windows})
    assert list(titles) == list(windows)
    assert titles["temporal_2021"] != titles["temporal_2024"]
    for split, (first, end) in windows.items():
        for day in (first, end - timedelta(days=1)):
            assert any(day.isoformat().startswith(part) for part in titles[split].split(" \N{EN DASH} "))


def test_tasks_that_agree_share_one_name() -> None:
    windows = {"temporal_2024": (date(2024, 1, 1), date(2025, 1, 1))}
    month = {"temporal_2024": (date(2024, 1, 1), date(2024, 2, 1))}
    titles = titles_of_windows(windows, {"insurance_denial": month})
    assert titles.test("temporal_2024", REMEDE) == "2024 test"


def test_examples() -> None:
    assert doctest.testmod(split_titles).attempted >= 2
    assert doctest.testmod(split_titles).failed == 0
