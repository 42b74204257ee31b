"""What the source supplies to look at a model with: labelled notes of some tasks, comprehension questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import dagster as dg

from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.questions import QuestionsError, by_name
from lang1_assets.ops.tasks import Task
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.settings import Settings


def supplied_examples(store: ArtifactStore, tasks: Iterable[str]) -> dict[str, Artifact]:
    """The labelled notes of each task that the source supplies; the others are switched off, and said so where they are made."""
    found = {task: store.get(f"{task}_examples") for task in tasks}
    return {task: artifact for task, artifact in found.items() if not artifact.summary["switched_off"]}


def require_decoder(settings: Settings, key: str, what: str) -> None:
    """Stop where an encoder has nothing to give (Fig. D4 compares its finetuned models alone).

    Args:
        what: is asked for, as "zero-shot evaluation".

    Raises:
        dg.Failure: the variant is an encoder.
    """
    if settings.variants[key].architecture == "encoder":
        raise dg.Failure(
            f"No {what} of variant '{key}': it is an encoder, which writes no words and has a head for one task only once it is "
            "finetuned on it. Choose a decoder, or finetune it on one task and evaluate that.",
            allow_retries=False,
        )


def cohort_artifact(store: ArtifactStore, task: Task) -> Artifact:
    """Where a task's cohort lies with its timing, attrition and inputs: the warehouse, or a folder of an own task."""
    return store.get("warehouse" if task.cohort is None else f"cohort_{task.name}")


def examples_to_score(store: ArtifactStore, tasks: Sequence[str]) -> dict[str, Artifact]:
    """The labelled notes of each task that the source supplies.

    Raises:
        dg.Failure: the source supplies none of them.
    """
    return examples_to_use(store, {task: f"{task}_examples" for task in tasks}, "evaluate")


def examples_to_use(
    store: ArtifactStore,
    names: Mapping[str, str],
    purpose: str,
    advice: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Artifact]:
    """As `supplied_examples`, of this hospital or another.

    Args:
        names: task -> artifact.
        purpose: in words, for `Nothing to ...`.
        say: told what is left out, and why.

    Raises:
        dg.Failure: the source supplies none of them.
    """
    found = {task: store.get(name) for task, name in names.items()}
    off = {task: reason for task, artifact in found.items() if (reason := artifact.summary["switched_off"])}
    for task, reason in off.items():
        say(f"{task} is left out: {reason}")
    if len(off) == len(found):
        reasons = "; ".join(f"{task}: {reason}" for task, reason in off.items())
        raise dg.Failure(f"Nothing to {purpose}. {reasons}. {advice}".rstrip(), allow_retries=False)
    return {task: artifact for task, artifact in found.items() if task not in off}


def example_files(examples: dict[str, Artifact]) -> dict[str, Path]:
    return {task: artifact.path / "examples.parquet" for task, artifact in examples.items()}


def question_files(settings: Settings, web: Artifact) -> dict[str, Path]:
    """The profile's comprehension questions, else those that the embedded source writes beside its web text, by their names
    in `tasks.COMPREHENSION`.

    Raises:
        dg.Failure: a file is no such file, or two are of the same questions.
    """
    embedded = web.path / "questions.parquet"
    files = settings.web_text.question_files or ((embedded,) if embedded.exists() else ())
    try:
        return by_name(files)
    except QuestionsError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def hashes_of_questions(settings: Settings) -> list[str]:
    """For a fingerprint: what the profile's files ask, not where they lie nor in which order. The embedded source's own come
    with its web text.
    """
    return sorted(sha256_of(file) for file in settings.web_text.question_files)
