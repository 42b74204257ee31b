"""The fields of a task's file: what each must be, in words and as a check."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lang1_assets.ops.schemas import NOTE_TYPES

OPTION_LETTERS = "ABCDE"
AUROC = "auroc"
ACCURACY = "accuracy"
NAME = re.compile(r"[a-z][a-z0-9_]*")

Fields = dict[str, tuple[str, Callable[[Any], bool]]]
"""Field -> what is expected, and whether a value is that."""


def problems_of(values: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """What is wrong with the values of a file, each with its field, what was found and what was expected.

    Args:
        known: names of the tasks that it may extend.
    """
    fields = DERIVED if "extends" in values else COMPREHENSION if "text" in values else NOTES
    problems = _wrong(values, fields, optional=("cohort", "metric"))
    if "extends" in values and values["extends"] not in known:
        problems.append(f"extends: no task {values['extends']!r}; known: {', '.join(known)}")
    if isinstance(values.get("cohort"), Mapping):
        of_cohort = _wrong(values["cohort"], COHORT, optional=("split_shares", "outcome_phrases"))
        problems += [f"cohort.{problem}" for problem in of_cohort]
    return problems


def _wrong(values: Mapping[str, Any], fields: Fields, optional: Collection[str]) -> list[str]:
    unknown = [f"{name}: unknown; expected {', '.join(fields)}" for name in values if name not in fields]
    missing = [
        f"{name}: missing; expected {expected}"
        for name, (expected, _) in fields.items()
        if name not in values and name not in optional
    ]
    wrong = [
        f"{name}: expected {expected}, found {values[name]!r}"
        for name, (expected, is_right) in fields.items()
        if name in values and not is_right(values[name])
    ]
    return unknown + missing + wrong


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value == value.strip()


def are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(is_text(item) for item in value)


def are_options(value: Any) -> bool:
    return are_texts(value) and 2 <= len(value) <= len(OPTION_LETTERS) and len(set(value)) == len(value)


def are_shares(value: Any) -> bool:
    whole = isinstance(value, list) and all(type(share) is int and share > 0 for share in value)
    return whole and len(value) == 3 and sum(value) == 100


NAMED: Fields = {
    "name": (
        "lower-case letters, digits and '_', a letter first",
        lambda value: isinstance(value, str) and bool(NAME.fullmatch(value)),
    ),
    "title": ("a text without spaces around it", is_text),
    "version": ("a whole number from 1", lambda value: type(value) is int and value > 0),
}
NOTES: Fields = {
    **NAMED,
    "note_type": (f"one of {', '.join(NOTE_TYPES)}", lambda value: value in NOTE_TYPES),
    "question": ("a text without spaces around it", is_text),
    "options": (
        f"2 to {len(OPTION_LETTERS)} different texts (no and yes in quotes: without, YAML reads false and true)",
        are_options,
    ),
    "metric": (AUROC, lambda value: value == AUROC),
    "cohort": ("sql, and where wanted split_shares and outcome_phrases", lambda value: isinstance(value, Mapping)),
}
COMPREHENSION: Fields = {
    **NAMED,
    "text": ("a text with {context} and {question}", lambda value: {"{context}", "{question}"} <= _placeholders(value)),
    "metric": (ACCURACY, lambda value: value == ACCURACY),
}
DERIVED: Fields = {
    **NAMED,
    "extends": ("the name of a task", is_text),
    "source": ("the kind of source that it is asked of", is_text),
}
COHORT: Fields = {
    "sql": ("a DuckDB query", lambda value: isinstance(value, str) and bool(value.strip())),
    "split_shares": ("three whole percentages that add up to 100", are_shares),
    "outcome_phrases": ("a list of texts", are_texts),
}


def _placeholders(value: Any) -> set[str]:
    return set(re.findall(r"\{[a-z]+\}", value)) if isinstance(value, str) else set()
