"""What splits are called in print: the later tests after their windows, which every profile chooses, for some tasks others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from lang1_assets.ops.schemas import SPLITS
from lang1_assets.ops.tasks import TASKS

NAMES = {"train": "Train", "val": "Validation", "test": "Test"}
PRECISIONS = (4, 7, 10)
"""Characters of a day as ISO writes it: its year, its month, the day."""
Windows = Mapping[str, tuple[date, date]]
"""Split -> its first day and the day after its last."""


@dataclass(frozen=True, kw_only=True)
class SplitTitles:
    """The splits' names in print; a split without a title goes by its own name."""

    common: Mapping[str, str] = field(default_factory=dict)
    of_tasks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task -> titles of its own, where its splits lie in other windows."""

    def of(self, split: str, task: str = "") -> str:
        own = self.of_tasks.get(task, {})
        return own.get(split) or self.common.get(split) or NAMES.get(split, split)

    def heading(self, split: str, tasks: Iterable[str]) -> str:
        """For several tasks: `2021 (insurance denial: 2022)`."""
        title, others = self._shared(split, tasks)
        return title + others

    def test(self, split: str, tasks: Iterable[str]) -> str:
        """A test in prose, after "the": `2024 test`, or `test set` where it is of the training years."""
        title, others = self._shared(split, tasks)
        return "test set" if split == "test" else f"{title} test{others}"

    def _shared(self, split: str, tasks: Iterable[str]) -> tuple[str, str]:
        """The title of these tasks, and in brackets those of them that have another."""
        titles = {task: self.of(split, task) for task in tasks}
        # Of one task, or of several that agree, nobody need know that others differ.
        title = next(iter(titles.values())) if len(set(titles.values())) == 1 else self.of(split)
        others = ", ".join(f"{TASKS[task].title.lower()}: {own}" for task, own in titles.items() if own != title)
        return title, f" ({others})" if others else ""


def titles_of_windows(common: Windows, of_tasks: Mapping[str, Windows]) -> SplitTitles:
    return SplitTitles(
        common=window_titles(common), of_tasks={task: window_titles(own) for task, own in of_tasks.items()}
    )


def window_titles(windows: Windows) -> dict[str, str]:
    """Split -> the years of its window; its months or days where years do not tell the windows apart.

    >>> window_titles({"test": (date(2018, 1, 1), date(2019, 1, 1)), "temporal_2021": (date(2019, 1, 1), date(2021, 1, 1))})
    {'test': '2018', 'temporal_2021': '2019 – 2020'}
    >>> window_titles({"test": (date(2018, 1, 1), date(2018, 3, 1)), "temporal_2021": (date(2018, 3, 1), date(2018, 4, 1))})
    {'test': '2018-01 – 2018-02', 'temporal_2021': '2018-03'}
    """
    days = {split: (first, end - timedelta(days=1)) for split, (first, end) in windows.items() if split in SPLITS}
    found = [{split: spanned(*ends, length) for split, ends in days.items()} for length in PRECISIONS]
    # Windows do not overlap: by days they always differ.
    return next(titles for titles in found if len(set(titles.values())) == len(titles))


def spanned(first: date, last: date, length: int) -> str:
    return " \N{EN DASH} ".join(dict.fromkeys(day.isoformat()[:length] for day in (first, last)))
