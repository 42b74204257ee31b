"""The tasks as data: the five of ReMedE, their external variants, comprehension, and a hospital's own (paper 5.2, appendix H)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lang1_assets.ops.tasks.definition import Cohort, Comprehension, Task, TaskError, read_definitions
from lang1_assets.ops.tasks.fields import OPTION_LETTERS

__all__ = [
    "COMPREHENSION",
    "OPTION_LETTERS",
    "REMEDE",
    "TASKS",
    "Cohort",
    "Comprehension",
    "Task",
    "TaskError",
    "asked_of",
    "own_tasks",
    "read_own_tasks",
    "use_own_tasks",
]

REMEDE = ("readmission", "mortality", "length_of_stay", "comorbidity", "insurance_denial")
"""The paper's five, in its order; each has a `candidates_TASK` and a `cohort_TASK` model in `dbt_notes`."""

_SHIPPED = read_definitions(sorted((Path(__file__).parent / "definitions").glob("*.yaml")))
_EXTERNAL = [task for task in _SHIPPED.values() if isinstance(task, Task) and task.source is not None]

COMPREHENSION: dict[str, Comprehension] = {
    name: task for name, task in _SHIPPED.items() if isinstance(task, Comprehension)
}

TASKS: dict[str, Task] = {name: task for name in REMEDE if isinstance(task := _SHIPPED[name], Task)}
"""Every task of this process by name: the paper's five, then those that `use_own_tasks` has put here."""


def asked_of(task: Task, source: str) -> Task:
    """The task as it is called on notes of a kind of source: MIMIC-III's tasks of 5.2.3 have names of their own."""
    return next((one for one in _EXTERNAL if (one.extends, one.source) == (task.name, source)), task)


def read_own_tasks(folder: Path) -> dict[str, Task]:
    """A hospital's own tasks: every `.yaml` file of a folder, each with a `cohort`.

    Raises:
        TaskError: with every problem in every file.
    """
    files = sorted(folder.glob("*.yaml"))
    found = {name: task for name, task in read_definitions(files, _SHIPPED).items() if isinstance(task, Task)}
    lacking = [name for name, task in found.items() if task.cohort is None]
    others = len(files) - len(found)
    if lacking or others or not files:
        what = (
            f"{', '.join(lacking)} has no cohort"
            if lacking
            else f"{len(files)} .yaml files, {others} of them no note tasks"
        )
        raise TaskError(f"{folder}: {what}; expected one file a task, each with a note_type, a question and a cohort")
    return found


def own_tasks() -> list[Task]:
    """Those that `use_own_tasks` has put into `TASKS`."""
    return [task for task in TASKS.values() if task.cohort is not None]


def use_own_tasks(tasks: Iterable[Task]) -> None:
    """From now on this process knows these besides the paper's, and no others.

    A process works for one profile: the definitions call this with the profile's own tasks, and a job with those in its file.
    """
    for name in [name for name in TASKS if name not in REMEDE]:
        del TASKS[name]
    TASKS.update({task.name: task for task in tasks})
