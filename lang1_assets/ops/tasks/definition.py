"""What a task is: which note, what is asked, which options, how it is measured; read from one YAML file a task.

A task is data, not code. The files in `definitions` are those of the paper; a hospital's own have a `cohort` besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lang1_assets.ops.tasks.fields import ACCURACY, AUROC, OPTION_LETTERS, problems_of


class TaskError(ValueError):
    """A task definition cannot be used; the message lists every problem with its file and field."""


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """Which notes a hospital's own task is about, with their labels."""

    sql: str
    """A DuckDB query over the staged tables that gives note_id, prediction_time and label."""
    split_shares: tuple[int, int, int] = (80, 10, 10)
    """Percent of the development window in train, val and test."""
    outcome_phrases: tuple[str, ...] = ()
    """Texts that state the outcome: a note that holds one gives its label away."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One multiple-choice prediction task about a note."""

    name: str
    """Its key in files, metrics and partitions."""
    title: str
    """Its name in print."""
    note_type: str
    """The note it reads, one of `schemas.NOTE_TYPES`."""
    question: str
    """What is asked, without options."""
    options: tuple[str, ...]
    """The answers in the order of the labels: option A is label 0."""
    version: int = 1
    """Raised when question, options or cohort change, so that results are never mixed."""
    metric: str = AUROC
    source: str | None = None
    """The kind of source whose notes it is asked of (`settings.Source.kind`), where it is bound to one."""
    extends: str | None = None
    """The task that it is another source's version of."""
    cohort: Cohort | None = None
    """Of a hospital's own task; the cohorts of the paper's are models of `dbt_notes`."""

    @property
    def num_classes(self) -> int:
        return len(self.options)

    @property
    def letters(self) -> str:
        return OPTION_LETTERS[: len(self.options)]

    @property
    def question_block(self) -> str:
        """What follows the note: question, options, and the cue for the letter (appendix H)."""
        options = "\n".join(f"{letter}. {text}" for letter, text in zip(self.letters, self.options, strict=True))
        return f"Question: {self.question}\n{options}\nAnswer:"

    def to_json(self) -> dict[str, Any]:
        """For job files: `from_json` gives the same task on another machine."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Task:
        held = values["cohort"]
        cohort = None
        if held is not None:
            shares, phrases = tuple(held["split_shares"]), tuple(held["outcome_phrases"])
            cohort = Cohort(sql=held["sql"], split_shares=shares, outcome_phrases=phrases)
        return Task(**{**values, "options": tuple(values["options"]), "cohort": cohort})


@dataclass(frozen=True, kw_only=True)
class Comprehension:
    """Multiple-choice questions that bring their own passage and options."""

    name: str
    title: str
    text: str
    """What precedes each option's text, with {context} and {question}."""
    version: int = 1
    metric: str = ACCURACY
    source: str | None = None
    """The format of the file that they come from (`questions.format_of`)."""
    extends: str | None = None


Definition = Task | Comprehension


def read_definitions(files: Sequence[Path], bases: Mapping[str, Definition] | None = None) -> dict[str, Definition]:
    """The tasks in some files by name, in the order of the files.

    Args:
        bases: definitions that the files may extend besides each other.

    Raises:
        TaskError: with every problem in every file.
    """
    raw = {file: _read_yaml(file) for file in files}
    found: dict[str, Definition] = dict(bases or {})
    problems: list[str] = []
    # Those that extend nothing first: the others are made from them.
    for file in sorted(files, key=lambda file: "extends" in raw[file]):
        wrong = problems_of(raw[file], tuple(found))
        if not wrong and raw[file]["name"] in found:
            wrong = [f"name: '{raw[file]['name']}' is taken; choose another one"]
        problems += [f"{file}: {problem}" for problem in wrong]
        if not wrong:
            found[raw[file]["name"]] = _made(raw[file], found)
    if problems:
        raise TaskError("\n".join(problems))
    return {raw[file]["name"]: found[raw[file]["name"]] for file in files}


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TaskError(f"{file}: not a readable YAML file: {error}") from None
    if not isinstance(values, dict):
        raise TaskError(f"{file}: expected a mapping with name, title and so on, found {type(values).__name__}")
    return values


def _made(values: Mapping[str, Any], found: Mapping[str, Definition]) -> Definition:
    """A definition from checked values."""
    values = dict(values)
    if "extends" in values:
        return replace(found[values["extends"]], **values)
    if "text" in values:
        return Comprehension(**values)
    cohort = values.pop("cohort", None)
    made = Task(**{**values, "options": tuple(values["options"])})
    if cohort is None:
        return made
    lists = {name: tuple(cohort[name]) for name in ("split_shares", "outcome_phrases") if name in cohort}
    return replace(made, cohort=Cohort(sql=cohort["sql"], **lists))
